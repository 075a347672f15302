"""Accepted corrections, applied to the train split; dev and test stay what models were scored on."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from captiongen.data.corrections import Decision, Kind, Picture, Proposal
from captiongen.data.images import decode_image
from captiongen.data.look_alikes import nearest, perceptual_hash
from captiongen.errors import DataError, ImageDecodeError
from captiongen.text.normalise import normalise_caption
from captiongen.text.printable import printable
from captiongen.types import Split

_NUM_NAMED = 4


@dataclass(frozen=True, slots=True)
class UsableImage:
    """An image that models learn from or are scored on.

    Attributes:
        image_id: unique.
        path: of its file in the source or, where `is_added`, under `corrections/pictures`.
        sha256: of the file's bytes.
        perceptual_hash: as `captiongen.data.look_alikes` has it.
        captions: raw.
        split: train, dev or test.
        is_added: whether a correction brought it.
    """

    image_id: str
    path: str
    sha256: str
    perceptual_hash: str
    captions: tuple[str, ...]
    split: Split
    is_added: bool = False


@dataclass(frozen=True, slots=True)
class Unused:
    """A decision, or a part of one, that was not followed, and why."""

    proposal: Proposal
    reason: str


@dataclass(frozen=True, slots=True)
class Corrected:
    """Images after the corrections.

    Attributes:
        images: of all splits, by image id.
        weights: image id -> how often it comes in an epoch, where that is not once.
        num_applied: decisions that changed something, by kind.
        emptied: ids of images that left because no caption was left.
        unused: what was not followed.
    """

    images: tuple[UsableImage, ...]
    weights: dict[str, float]
    num_applied: Counter[Kind]
    emptied: tuple[str, ...]
    unused: tuple[Unused, ...]

    def describe(self) -> tuple[str, ...]:
        """Says in a few lines what was done and, decision by decision, what was not; nothing without decisions."""
        lines = [f"{count:,} x {kind} applied" for kind, count in sorted(self.num_applied.items())]
        if self.emptied:
            lines.append(f"{len(self.emptied):,} training images left with their last caption: {_some(self.emptied)}")
        lines += [f"{one.proposal} was not applied: {one.reason}" for one in self.unused]
        return tuple(map(printable, lines))


def correct(
    images: Iterable[UsableImage], decisions: Iterable[Decision], *, pictures: Path, near_duplicate_distance: int
) -> Corrected:
    """Follows accepted decisions, in the order in which they were made; merges hold all the time.

    So equal captions are one, whether they were merged before or after they were relabelled. A decision that fits no
    more, because its image or caption is gone or in another split, changes nothing and is told.

    Args:
        images: of the splits train, dev and test.
        decisions: accepted ones.
        pictures: where added pictures lie.
        near_duplicate_distance: an added picture must differ from all of dev and test in more bits than this.

    Raises:
        DataError: an added picture's file is missing or another one, or no training image is left.
    """
    # Of weights that were decided in the same moment the larger one counts, else the last.
    ordered = sorted(decisions, key=lambda one: (one.decided_at, one.proposal.weight or 0.0, one.id))
    merges = [one.proposal for one in ordered if one.proposal.kind is Kind.MERGE_CAPTIONS]
    train = _TrainSplit(images, merges, pictures, near_duplicate_distance)
    # Of a merge it can be said at the end alone whether there ever was such a caption.
    for proposal in (*(one.proposal for one in ordered if one.proposal.kind is not Kind.MERGE_CAPTIONS), *merges):
        train.apply(proposal)
    return train.result()


class _Misfit(Exception):  # noqa: N818 - reads as what it is
    """Why a decision cannot be followed."""


class _TrainSplit:
    """The train split while it is being corrected, and the rest, which is not."""

    def __init__(
        self, images: Iterable[UsableImage], merges: Iterable[Proposal], pictures: Path, near_duplicate_distance: int
    ) -> None:
        self._merged: defaultdict[str, set[str | None]] = defaultdict(set)
        for merge in merges:
            self._merged[merge.image_ids[0]].add(merge.caption)
        self._seen: defaultdict[str, set[str | None]] = defaultdict(set)  # captions that an image has or had
        self._pictures, self._near_duplicate_distance = pictures, near_duplicate_distance
        self._train: dict[str, UsableImage] = {}
        self._held_out: dict[str, UsableImage] = {}
        for image in images:
            (self._train if image.split == "train" else self._held_out)[image.image_id] = image
        self._weights: dict[str, float] = {}
        self._num_applied: Counter[Kind] = Counter()
        self._unused: list[Unused] = []

    def apply(self, proposal: Proposal) -> None:
        """Follows one decision, or notes why it cannot be followed."""
        try:
            match proposal:
                case Proposal(kind=Kind.WEIGHT_IMAGES, weight=weight) if weight is not None:
                    self._weigh(proposal, weight)
                case Proposal(kind=Kind.ADD_IMAGE, picture=Picture() as picture, instead=str(caption)):
                    self._add(proposal.image_ids[0], picture, caption)
                case _:
                    self._change(self._find(proposal.image_ids[0]), proposal)
        except _Misfit as misfit:
            self._unused.append(Unused(proposal, str(misfit)))
        else:
            self._num_applied[proposal.kind] += 1

    def result(self) -> Corrected:
        """All images, and what was done."""
        kept = {image_id: image for image_id, image in self._train.items() if image.captions}
        if not any(self._weights.get(image_id, 1.0) for image_id in kept):
            raise DataError(
                "Expected training images, found none to which the accepted corrections leave a caption and a weight. "
                "Take some back (`captiongen corrections undo`)."
            )
        return Corrected(
            images=tuple(sorted([*kept.values(), *self._held_out.values()], key=lambda image: image.image_id)),
            weights={name: weight for name, weight in sorted(self._weights.items()) if name in kept and weight != 1.0},
            num_applied=self._num_applied,
            emptied=tuple(sorted(self._train.keys() - kept.keys())),
            unused=tuple(self._unused),
        )

    def _find(self, image_id: str) -> UsableImage:
        if image_id in self._held_out:
            raise _Misfit(f"the image is in split {self._held_out[image_id].split}, which is never corrected")
        if image_id not in self._train:
            raise _Misfit("there is no such training image")
        return self._train[image_id]

    def _change(self, image: UsableImage, proposal: Proposal) -> None:
        merged, seen = self._merged[image.image_id], self._seen[image.image_id]
        seen.update(image.captions)
        if proposal.caption not in (seen if proposal.kind is Kind.MERGE_CAPTIONS else image.captions):
            raise _Misfit("the image has no such caption")
        captions = _once(_changed(_once(image.captions, merged), proposal), merged)
        self._train[image.image_id] = replace(image, captions=captions)

    def _weigh(self, proposal: Proposal, weight: float) -> None:
        missing = [image_id for image_id in proposal.image_ids if image_id not in self._train]
        if missing:
            told = f"{len(missing):,} of {len(proposal.image_ids):,} images are not in split train: {_some(missing)}"
            if len(missing) == len(proposal.image_ids):
                raise _Misfit(told)
            self._unused.append(Unused(proposal, told))
        self._weights |= dict.fromkeys(set(proposal.image_ids).difference(missing), weight)

    def _add(self, image_id: str, picture: Picture, caption: str) -> None:
        data = _read_unchanged(self._pictures / picture.file, picture.sha256)
        try:
            look = perceptual_hash(decode_image(data))
        except ImageDecodeError as error:
            raise _Misfit(str(error)) from error
        self._refuse_held_out(picture.sha256, look)
        same = next((one for one in self._train.values() if one.sha256 == picture.sha256), None)
        if same is None and (image_id in self._train or image_id in self._held_out):
            raise _Misfit("there is another image of this name")
        if same is not None and normalise_caption(caption) in map(normalise_caption, same.captions):
            raise _Misfit(f"{same.image_id} is this picture, and has this caption")
        image = same or UsableImage(image_id, picture.file, picture.sha256, look, (), "train", is_added=True)
        self._train[image.image_id] = replace(image, captions=(*image.captions, caption))

    def _refuse_held_out(self, sha256: str, look: str) -> None:
        """A model must not learn what it is scored on: as the data contract has it, neither files nor look-alikes."""
        held_out = list(self._held_out.values())
        if not held_out:
            return
        position, distance = nearest(look, [image.perceptual_hash for image in held_out])
        same = next((image for image in held_out if image.sha256 == sha256), None)
        if same is None and distance > self._near_duplicate_distance:
            return
        found = same or held_out[position]
        how = "is" if same else f"is within {distance} bits of"
        raise _Misfit(f"the picture {how} {found.image_id} of split {found.split}, which models are scored on")


def _changed(captions: tuple[str, ...], proposal: Proposal) -> tuple[str, ...]:
    match proposal:
        case Proposal(kind=Kind.RELABEL_CAPTION, instead=str(instead)):
            return tuple(instead if caption == proposal.caption else caption for caption in captions)
        case Proposal(kind=Kind.DROP_CAPTION):
            return tuple(caption for caption in captions if caption != proposal.caption)
        case _:
            return captions


def _once(captions: tuple[str, ...], merged: Collection[str | None]) -> tuple[str, ...]:
    """Keeps the first of equal captions where they are merged."""
    return tuple(one for place, one in enumerate(captions) if one not in merged or one not in captions[:place])


def _some(image_ids: Sequence[str]) -> str:
    return ", ".join(image_ids[:_NUM_NAMED]) + (", ..." if len(image_ids) > _NUM_NAMED else "")


def _read_unchanged(path: Path, sha256: str) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"{path}, the picture of an accepted correction, is missing. Run `dvc pull {path.parent}`."
        ) from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(f"{path} is not the picture that was accepted. Run `dvc checkout --force {path.parent}`.")
    return data
