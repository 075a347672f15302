"""What people decided in a project, kept so that several may decide at once, in commands and on pages."""

from collections.abc import Collection, Iterable
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

        Once something is accepted of a caption, a picture or a slice, nothing else is asked of it: who rewrote a
        caption need not say whether to drop it.

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

    def decide(self, proposals: Iterable[Proposal], verdict: Verdict, *, by: str = "") -> list[Proposal]:
        """Decides; what was decided so before keeps its date and name.

        Of what is accepted about the same thing the last one counts, and of several at once the first.

        Returns:
            Those on which this changed something.
        """
        now = datetime.now(UTC).replace(microsecond=0)
        other = Verdict.REJECTED if verdict is Verdict.ACCEPTED else Verdict.ACCEPTED
        with self.alone:
            before = self.decided(verdict)
            new = [one for one in proposals if one.id not in before]
            if verdict is Verdict.ACCEPTED:
                new = list({one.concerns: one for one in reversed(new)}.values())[::-1]
                about = {one.concerns for one in new}
                before = {name: one for name, one in before.items() if one.proposal.concerns not in about}
            self._take_away({one.id for one in new}, other)
            if new:
                write_decisions(self._file(verdict), [*before.values(), *(Decision(one, now, by) for one in new)])
        return new

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
