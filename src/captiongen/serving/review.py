"""A person's way through proposed corrections: one after the other, to be accepted, rejected or skipped."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from captiongen.data.corrections import Proposal
from captiongen.data.decisions import Verdict
from captiongen.errors import UsageError


@dataclass(frozen=True, slots=True)
class ShownImage:
    """An image to look at.

    Attributes:
        image_id: its name.
        file: an encoded picture; None where it cannot be had.
        captions: what training reads today.
    """

    image_id: str
    file: bytes | None
    captions: tuple[str, ...] = ()


class Desk(Protocol):
    """Where proposals come from and decisions go to."""

    def undecided(self) -> Sequence[Proposal]:
        """Returns what is to be decided, the surest first."""

    def images(self, proposal: Proposal) -> Sequence[ShownImage]:
        """Returns what a person needs to see: the image, or the first ones of a slice."""

    def decide(self, proposals: Sequence[Proposal], verdict: Verdict) -> None:
        """Keeps decisions; they are on the disk when this returns."""

    def undo(self, ids: Collection[str]) -> None:
        """Takes decisions back."""


@dataclass(frozen=True, slots=True)
class Visit:
    """What one person did so far.

    Attributes:
        skipped: ids, the first one first; they come again after all others.
        decided: the id of what was shown and those of what was decided on it, the last one last.
        taken_back: an id that is to be shown next, "" for none.
    """

    skipped: tuple[str, ...] = ()
    decided: tuple[tuple[str, tuple[str, ...]], ...] = ()
    taken_back: str = ""


class Review:
    """Moves a person from proposal to proposal. One that others decided is not shown; who answers it is told so.

    Args:
        desk: where proposals come from and decisions go to.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def queue(self, visit: Visit) -> list[Proposal]:
        """Returns what is to be decided, in the order in which it is shown."""

        def place(proposal: Proposal) -> int:
            if proposal.id == visit.taken_back:
                return -2
            return visit.skipped.index(proposal.id) if proposal.id in visit.skipped else -1

        return sorted(self.desk.undecided(), key=place)

    def decide(self, visit: Visit, proposal_id: str, verdict: Verdict) -> Visit:
        """Decides on the proposal that the person saw, and on no other.

        Raises:
            UsageError: others decided on it meanwhile.
        """
        return self._decide(visit, proposal_id, verdict, lambda seen: (seen,))

    def rewrite(self, visit: Visit, proposal_id: str, instead: str) -> Visit:
        """Accepts what the person wrote in the place of the caption concerned.

        Raises:
            UsageError: nothing was written, no caption is concerned, or others decided on the proposal meanwhile.
        """

        def write(seen: Proposal) -> tuple[Proposal, ...]:
            try:
                return seen.rewritten(instead)
            except ValueError as error:
                raise UsageError(f"Not rewritten: {error}.") from error

        return self._decide(visit, proposal_id, Verdict.ACCEPTED, write)

    def _decide(
        self, visit: Visit, proposal_id: str, verdict: Verdict, change: Callable[[Proposal], tuple[Proposal, ...]]
    ) -> Visit:
        seen = next((one for one in self.desk.undecided() if one.id == proposal_id), None)
        if seen is None:
            if not proposal_id or proposal_id in (shown_id for shown_id, _ in visit.decided):  # a second click
                return visit
            raise UsageError(
                "Nothing was kept: this proposal was decided elsewhere meanwhile, or is no longer made. Copy what you "
                "wrote if you need it; Skip shows the next one."
            )
        chosen = change(seen)
        self.desk.decide(chosen, verdict)
        ids = tuple(one.id for one in chosen)
        return replace(visit, decided=(*visit.decided, (proposal_id, ids)), taken_back="")

    def skip(self, visit: Visit, proposal_id: str) -> Visit:
        """Leaves a proposal for later."""
        others = (one for one in visit.skipped if one != proposal_id)
        return replace(visit, skipped=(*others, proposal_id), taken_back="")

    def undo(self, visit: Visit) -> Visit:
        """Takes this person's last decision back, and shows the proposal again."""
        if not visit.decided:
            return visit
        *before, (shown_id, decided_ids) = visit.decided
        self.desk.undo(decided_ids)
        return replace(visit, decided=tuple(before), taken_back=shown_id)
