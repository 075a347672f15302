"""What people decided in a project, kept so that several may decide at once, in commands and on pages."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from filelock import FileLock

from captiongen.data.corrections import (
    SOURCES,
    CorrectionsFolder,
    Decision,
    Proposal,
    read_decisions,
    read_proposals,
    write_decisions,
)


class Verdict(StrEnum):
    """What a person said to a proposal."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of proposals that were decided on; what is in neither `changed` nor `left_out` was decided so before.

    Attributes:
        changed: what is decided so from now on.
        replaced: what was accepted before about the same things, and no longer is.
        left_out: what was not accepted, because another of the proposals about the same thing is.
    """

    changed: tuple[Proposal, ...]
    replaced: tuple[Proposal, ...] = ()
    left_out: tuple[Proposal, ...] = ()


class Decisions:
    """Proposals and what was decided on them.

    Every change is on the disk when its method returns. A file whose content stays is not written: for DVC nothing
    happened. A change of mind takes the old decision away first: who is killed in between has not decided.

    Args:
        folder: where proposals and decisions lie.
        lock: a file that all who decide in this project lock.

    Attributes:
        alone: a lock that others wait for; who has more to change than decisions holds it around all of it.
    """

    def __init__(self, folder: CorrectionsFolder, *, lock: Path) -> None:
        self._folder = folder
        self.alone = FileLock(lock)  # may be taken again by who has it

    def proposals(self) -> dict[str, Proposal]:
        """Returns every proposal by id, decided or not; of the same one from several sources the surest.

        Raises:
            DataError: a line of a file is no proposal.
        """
        found = [one for source in SOURCES for one in read_proposals(self._folder.proposals(source))]
        return {one.id: one for one in sorted(found, key=lambda one: (one.score, one.source))}

    def decided(self, verdict: Verdict) -> dict[str, Decision]:
        """Returns the decisions of one kind by id.

        Raises:
            DataError: a line of the file is no decision.
        """
        return {one.id: one for one in read_decisions(self._file(verdict))}

    def undecided(self) -> list[Proposal]:
        """Returns what nobody has decided, the surest first.

        Once something is accepted about a caption or a slice, nothing else is asked about it: who rewrote a caption
        need not say whether to drop it. Another caption of an added picture stays open.

        Raises:
            DataError: as `proposals` and `decided`.
        """
        accepted, rejected = (self.decided(verdict) for verdict in Verdict)
        settled = {one.proposal.concerns for one in accepted.values()}
        undecided = [
            one
            for name, one in self.proposals().items()
            if name not in rejected and name not in accepted and one.concerns not in settled
        ]
        return sorted(undecided, key=lambda one: (-one.score, one.id))

    def decide(self, proposals: Iterable[Proposal], verdict: Verdict, *, by: str = "") -> Outcome:
        """Decides; what was decided so before keeps its date and name.

        Of what is accepted about the same thing the last one counts, and of several at once the first.
        """
        now = datetime.now(UTC).replace(microsecond=0)
        other = Verdict.REJECTED if verdict is Verdict.ACCEPTED else Verdict.ACCEPTED
        with self.alone:
            before = self.decided(verdict)
            chosen, left_out = _first_of_each(proposals) if verdict is Verdict.ACCEPTED else (list(proposals), [])
            new = [one for one in chosen if one.id not in before]
            about = {one.concerns for one in new} if verdict is Verdict.ACCEPTED else set()
            replaced = [one for one in before.values() if one.proposal.concerns in about]
            self._take_away({one.id for one in new}, other)
            if new:
                kept = [one for one in before.values() if one.proposal.concerns not in about]
                write_decisions(self._file(verdict), [*kept, *(Decision(one, now, by) for one in new)])
        return Outcome(tuple(new), tuple(one.proposal for one in replaced), tuple(left_out))

    def undo(self, ids: Collection[str]) -> list[Decision]:
        """Takes decisions back; the proposals are open again, where they are still proposed.

        Returns:
            The decisions that are no more.
        """
        with self.alone:
            return [one for verdict in Verdict for one in self._take_away(ids, verdict)]

    def _take_away(self, ids: Collection[str], verdict: Verdict) -> list[Decision]:
        before = self.decided(verdict)
        taken = [one for name, one in before.items() if name in ids]
        if taken:
            write_decisions(self._file(verdict), [one for name, one in before.items() if name not in ids])
        return taken

    def _file(self, verdict: Verdict) -> Path:
        return self._folder.accepted if verdict is Verdict.ACCEPTED else self._folder.rejected


def _first_of_each(proposals: Iterable[Proposal]) -> tuple[list[Proposal], list[Proposal]]:
    """Parts proposals into the first about each thing, and the rest."""
    first: dict[tuple[object, ...], Proposal] = {}
    rest = [one for one in proposals if first.setdefault(one.concerns, one) is not one]
    return list(first.values()), rest
