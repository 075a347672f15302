"""Corrections of the training data: what is proposed, and what people decided.

A proposal is made by a stage or by the service's users; it changes nothing. A decision is a person's, and holds the
whole proposal, so that it stands on its own when the proposals are made anew. Both are kept as JSON lines, sorted by
id: the same proposals are the same bytes, whatever order they were found in.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, TypeVar, get_args

from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from captiongen.errors import DataError
from captiongen.files import write_atomically
from captiongen.text.normalise import normalise_caption
from captiongen.text.printable import is_line, printable
from captiongen.types import JsonObject

#: Who may propose; `corrections/proposals/<source>.jsonl` holds what it proposes.
Origin = Literal["audit", "analysis", "feedback"]
SOURCES: tuple[Origin, ...] = get_args(Origin)
_ID_DIGITS = 12
_MAX_LETTERS = 1000  # that a person writes
_MAX_NAME = 128  # characters: file systems take 255, and a file that is being written has a longer name
_FILE_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{,{_MAX_NAME - 1}}}")
_SHOWN_CHARACTERS = 40


class Kind(StrEnum):
    """What a proposal would do to the train split.

    `drop_caption` takes every caption of this text from the image, `merge_captions` all but one of them, before and
    after whatever else is decided, `relabel_caption` writes `instead` in their place. `weight_images` has the images
    come `weight` times in an epoch. `add_image` adds a picture with one caption, or a caption to a picture that is
    there.
    """

    DROP_CAPTION = "drop_caption"
    MERGE_CAPTIONS = "merge_captions"
    RELABEL_CAPTION = "relabel_caption"
    WEIGHT_IMAGES = "weight_images"
    ADD_IMAGE = "add_image"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture's file under `corrections/pictures`, and the sha256 of its bytes.

    Raises:
        ValueError: the file's name could lead out of that folder, or no folder can hold it.
    """

    file: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    def __post_init__(self) -> None:
        """Checks the name."""
        if not _FILE_NAME.fullmatch(self.file):
            found = repr(self.file) if len(self.file) <= _SHOWN_CHARACTERS else f"{self.file[:_SHOWN_CHARACTERS]!r}..."
            raise ValueError(
                f"expected a file name of at most {_MAX_NAME} letters, digits, dots, - and _, the first a letter or "
                f"digit, and no folder, found {found}"
            )


#: Which of the optional fields a kind needs; it has none of the others, but for those that it may have.
_FIELDS: Mapping[Kind, frozenset[str]] = {
    Kind.DROP_CAPTION: frozenset({"caption"}),
    Kind.MERGE_CAPTIONS: frozenset({"caption"}),
    Kind.RELABEL_CAPTION: frozenset({"caption", "instead"}),
    Kind.WEIGHT_IMAGES: frozenset({"weight"}),
    Kind.ADD_IMAGE: frozenset({"instead", "picture"}),
}
_MAY_HAVE: Mapping[Kind, frozenset[str]] = {Kind.ADD_IMAGE: frozenset({"caption"})}


@dataclass(frozen=True, slots=True)
class Proposal:
    """One change of the training data that a person may accept.

    Attributes:
        kind: what it would do.
        image_ids: the image concerned, or with `weight_images` those of a slice; sorted, each once.
        source: who proposes it.
        reason: why, in a sentence for people.
        score: how sure the source is, 0..1; files keep four digits.
        caption: the text concerned, as the data has it to the letter; it may be empty. With `add_image` the proposed
            one, where a person wrote another in its place.
        instead: the new caption, with at least one word.
        weight: how often each image comes in an epoch, on average, 0..100.
        picture: what is added.

    Raises:
        ValueError: a field that the kind needs is missing, one that it has not is given, or a value is out of range.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: Kind
    image_ids: tuple[str, ...]
    source: Origin
    reason: str
    score: float
    caption: str | None = None
    instead: str | None = None
    weight: float | None = None
    picture: Picture | None = None

    def __post_init__(self) -> None:
        """Checks that the fields make sense together."""
        given = {name for name in ("caption", "instead", "weight", "picture") if getattr(self, name) is not None}
        if given - _MAY_HAVE.get(self.kind, frozenset()) != _FIELDS[self.kind]:
            wanted, found = (", ".join(sorted(names)) or "none" for names in (_FIELDS[self.kind], given))
            raise ValueError(f"expected the fields {wanted} in a {self.kind}, found {found}")
        if not self.image_ids or tuple(sorted(set(self.image_ids))) != self.image_ids:
            raise ValueError(f"expected image_ids sorted, each once, at least one, found {self.image_ids[:4]}")
        if self.kind is not Kind.WEIGHT_IMAGES and len(self.image_ids) > 1:
            raise ValueError(f"expected one image in a {self.kind}, found {len(self.image_ids)}")
        if self.instead is not None and not normalise_caption(self.instead):
            raise ValueError(f"expected a caption with words in instead, found {self.instead!r}")
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f"expected a score of 0 to 1, found {self.score}")
        if self.weight is not None and not 0.0 <= self.weight <= 100.0:
            raise ValueError(f"expected a weight of 0 to 100, found {self.weight}")

    def rewritten(self, instead: str) -> tuple["Proposal", ...]:
        """Returns what a person accepts who looked at this and writes the right caption.

        Who was asked whether equal captions are one, and writes one, has said that they are.

        Raises:
            ValueError: no one caption is concerned, or `instead` is no line of text with words in it, or the caption.
        """
        if self.kind is Kind.WEIGHT_IMAGES:
            raise ValueError(f"expected a proposal about one caption, found a {self.kind}")
        if not is_line(instead):
            raise ValueError(f"expected a line of text, found {instead!r}")
        if len(instead) > _MAX_LETTERS:
            raise ValueError(f"expected a caption of {_MAX_LETTERS:,} letters at most, found {len(instead):,}")
        if self.kind is Kind.ADD_IMAGE:
            return (replace(self, caption=None if instead == self._text else self._text, instead=instead),)
        if instead == self.caption:
            raise ValueError("expected other words than the caption has; reject the proposal if it is right")
        relabelled = replace(self, kind=Kind.RELABEL_CAPTION, instead=instead)
        return (self, relabelled) if self.kind is Kind.MERGE_CAPTIONS else (relabelled,)

    @property
    def concerns(self) -> tuple[object, ...]:
        """What it is about: of several about the same thing one can be accepted.

        Of equal captions one may be too many, and all of them wrong: that is not the same thing. Nor are captions that
        several people wrote of a picture.
        """
        return (self.image_ids, self._text, self.picture, self.kind is Kind.MERGE_CAPTIONS)

    @property
    def _text(self) -> str | None:
        """The caption concerned; of an added picture the one that was proposed, whatever was written instead."""
        return self.instead if self.caption is None else self.caption

    def __str__(self) -> str:
        """Says in a line what would change, where, and the id."""
        match self:
            case Proposal(kind=Kind.RELABEL_CAPTION):
                what = f"{self.caption!r} -> {self.instead!r}"
            case Proposal(kind=Kind.WEIGHT_IMAGES):
                what = f"x {self.weight:g}"
            case Proposal(kind=Kind.ADD_IMAGE):
                what = f"{self.instead!r}"
            case _:
                what = f"{self.caption!r}"
        where = self.image_ids[0] if len(self.image_ids) == 1 else f"{len(self.image_ids):,} images"
        return f"{self.id} {self.kind} {printable(where)}: {what}"

    @property
    def id(self) -> str:
        """Twelve hex digits that name the change. Who proposes it, why, and how surely, makes it no other change."""
        picture = self.picture and self.picture.sha256
        weight = None if self.weight is None else float(self.weight)
        content = json.dumps([self.kind, self.image_ids, self.caption, self.instead, weight, picture])
        return hashlib.sha256(content.encode()).hexdigest()[:_ID_DIGITS]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person said to a proposal; accepted and rejected ones lie in files of their own.

    Attributes:
        proposal: the whole of it.
        decided_at: when, with its time zone, to the second.
        decided_by: a name, "" where none was given.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    proposal: Proposal
    decided_at: AwareDatetime
    decided_by: str = ""

    @property
    def id(self) -> str:
        """The proposal's."""
        return self.proposal.id


@dataclass(frozen=True, slots=True)
class CorrectionsFolder:
    """Where corrections lie in a project.

    Attributes:
        root: `corrections/`.
    """

    root: Path

    def proposals(self, source: Origin) -> Path:
        """What a source proposes."""
        return self.root / "proposals" / f"{source}.jsonl"

    @property
    def proposed_pictures(self) -> Path:
        """Pictures of `add_image` proposals; of this machine only, until they are accepted."""
        return self.root / "proposals" / "pictures"

    @property
    def accepted(self) -> Path:
        """Decisions for; the next `preprocess` follows them."""
        return self.root / "decisions" / "accepted.jsonl"

    @property
    def rejected(self) -> Path:
        """Decisions against; they are not proposed again."""
        return self.root / "decisions" / "rejected.jsonl"

    @property
    def pictures(self) -> Path:
        """Pictures of accepted `add_image` decisions."""
        return self.root / "pictures"


def write_proposals(path: Path, proposals: Iterable[Proposal]) -> None:
    """Writes proposals; of several that are the same change the surest is kept."""
    surest = {one.id: one for one in sorted(proposals, key=lambda one: (one.score, one.source, one.reason))}
    _write(path, {name: _proposal_record(one) for name, one in surest.items()})


def read_proposals(path: Path) -> tuple[Proposal, ...]:
    """Reads proposals, in the order of their ids; none where there is no such file.

    Raises:
        DataError: a line is no proposal; the message names file and line.
    """
    return tuple(_read(path, _parse_proposal))


def write_decisions(path: Path, decisions: Iterable[Decision]) -> None:
    """Writes decisions; of several on the same change the first is kept."""
    first = {one.id: one for one in sorted(decisions, key=lambda one: one.decided_at, reverse=True)}
    _write(path, {name: _decision_record(one) for name, one in first.items()})


def read_decisions(path: Path) -> tuple[Decision, ...]:
    """Reads decisions, in the order of their ids; none where there is no such file.

    Raises:
        DataError: a line is no decision; the message names file and line.
    """
    return tuple(_read(path, _parse_decision))


_PROPOSAL = TypeAdapter(Proposal)
_DECISION = TypeAdapter(Decision)
_SCORE_DIGITS = 4  # the last digits differ between machines
_Parsed = TypeVar("_Parsed")


def _write(path: Path, records: Mapping[str, JsonObject]) -> None:
    lines = (json.dumps(records[name], ensure_ascii=False) + "\n" for name in sorted(records))
    write_atomically(path, "".join(lines) or "\n")  # of a file without a byte DVC warns at every step


def _read(path: Path, parse: Callable[[JsonObject], _Parsed]) -> Iterator[_Parsed]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise DataError(f"Expected a file of JSON lines at {path}, could not read it: {error}.") from error
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            record = from_json(line, allow_inf_nan=False)  # refuses half characters too, which no file could hold
            if not isinstance(record, dict):
                raise ValueError(f"expected a JSON object, found a {type(record).__name__}")
            yield parse(record)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {_explain(error)}. Mend the line, or take it out.") from error


def _proposal_record(proposal: Proposal) -> JsonObject:
    record: JsonObject = _PROPOSAL.dump_python(proposal, mode="json", exclude_defaults=True)
    return {"id": proposal.id, **record, "score": round(proposal.score, _SCORE_DIGITS)}


def _parse_proposal(record: JsonObject) -> Proposal:
    fields = dict(record)
    found = fields.pop("id", None)
    proposal = _PROPOSAL.validate_python(fields)
    if found != proposal.id:
        raise ValueError(f"expected the id {proposal.id} of this content, found {found}")
    return proposal


def _decision_record(decision: Decision) -> JsonObject:
    record: JsonObject = _DECISION.dump_python(decision, mode="json", exclude_defaults=True)
    return {**record, "proposal": _proposal_record(decision.proposal)}


def _parse_decision(record: JsonObject) -> Decision:
    proposal = record.get("proposal")
    if not isinstance(proposal, dict):
        raise ValueError(f"expected a proposal, found {proposal!r}")
    return _DECISION.validate_python({**record, "proposal": _parse_proposal(proposal)})


def _explain(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error).replace("at line 1 column", "at column")  # of the file it is another line
    found = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": ") for one in error.errors())
    return "; ".join(found)
