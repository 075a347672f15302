"""Where people decide on corrections: the decisions, the pictures that go with them, and what they need to see."""

import hashlib
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from captiongen.data.corrections import CorrectionsFolder, Decision, Picture, Proposal, write_proposals
from captiongen.data.decisions import Decisions, Outcome, Verdict
from captiongen.data.feedback import FeedbackFolder
from captiongen.data.images import decode_image
from captiongen.data.reported_captions import reported_captions
from captiongen.data.sources.stores import FolderStore
from captiongen.errors import DataError, ImageDecodeError
from captiongen.files import write_atomically


class PictureStore(Protocol):
    """What records pictures for others, as `captiongen.adapters.dvc_data.DvcData` does."""

    def track(self, path: Path) -> bool:
        """Records the content of a folder."""

    def pointer(self, path: Path) -> Path:
        """Returns the file that stands for a recorded folder."""


class CorrectionsDesk:
    """Decides in one project.

    A picture is under DVC before its decision is written, and goes with it: `corrections/pictures` holds the pictures
    of accepted proposals and no others.

    Args:
        folder: where proposals, decisions and pictures lie.
        decisions: of this folder.
        store: records the pictures, with DVC.
    """

    def __init__(self, folder: CorrectionsFolder, decisions: Decisions, *, store: PictureStore) -> None:
        self._folder, self._store = folder, store
        self.decisions = decisions

    def decide(self, proposals: Sequence[Proposal], verdict: Verdict, *, by: str = "") -> Outcome:
        """Decides on proposals; pictures that their decisions add come, and those of replaced ones go.

        Raises:
            DataError: a picture that belongs to a decision is not here, cannot be decoded, or has the name of another
                one; or something else lies among the pictures. Nothing was written then.
            ServiceError: DVC could not record the pictures.
        """
        with self.decisions.alone:
            _need_no_folders(self._folder.pictures)
            self._need_accepted_pictures(proposals)
            if verdict is Verdict.ACCEPTED:
                self._bring(proposals)
            outcome = self.decisions.decide(proposals, verdict, by=by)
            self._clear()
        return outcome

    def undo(self, ids: Collection[str]) -> list[Decision]:
        """Takes decisions back, and pictures that they added; returns the decisions that are no more.

        Raises:
            DataError: a picture that belongs to a decision is not here, or something else lies among the pictures.
            ServiceError: DVC could not record the pictures.
        """
        with self.decisions.alone:
            _need_no_folders(self._folder.pictures)
            accepted = self.decisions.decided(Verdict.ACCEPTED)
            self._need_accepted_pictures([one.proposal for name, one in accepted.items() if name in ids])
            undone = self.decisions.undo(ids)
            self._clear()
        return undone

    def import_feedback(self, feedback: FeedbackFolder) -> list[Proposal]:
        """Makes the proposals of feedback those of the records there are; what was deleted there goes here too.

        Returns:
            The proposals that are not decided.

        Raises:
            DataError: a record, or the picture of one, is missing or damaged, or a folder lies among the pictures.
        """
        found = list(reported_captions(feedback))
        with self.decisions.alone:
            _need_no_folders(self._folder.proposed_pictures)
            pictures = {proposal.picture.file: data for proposal, data in found if proposal.picture is not None}
            for name, data in pictures.items():
                write_atomically(self._folder.proposed_pictures / name, data)
            write_proposals(self._folder.proposals("feedback"), [proposal for proposal, _ in found])
            _keep_only(self._folder.proposed_pictures, pictures)
        return [one for one in self.decisions.undecided() if one.source == "feedback"]

    def picture(self, picture: Picture) -> bytes:
        """Returns the bytes of an added picture, accepted or proposed.

        Raises:
            DataError: it is not here, another one, or larger than any picture should be.
        """
        for folder in map(FolderStore, (self._folder.pictures, self._folder.proposed_pictures)):
            if picture.file in folder:
                data = folder.read(picture.file)
                if hashlib.sha256(data).hexdigest() == picture.sha256:
                    return data
        raise DataError(
            f"Expected the proposed picture {picture.file} in {self._folder.proposed_pictures}, found none with its "
            "hash. Run `captiongen corrections import` where the service keeps its feedback."
        )

    def _need_accepted_pictures(self, proposals: Iterable[Proposal]) -> None:
        """Where pictures come or go all others must be here: DVC records the folder as it stands."""
        if not any(one.picture for one in proposals):
            return
        missing = [name for name in self._accepted_pictures() if not (self._folder.pictures / name).is_file()]
        if missing:
            raise DataError(
                f"Expected the pictures of all accepted corrections in {self._folder.pictures}, found {missing[0]} "
                f"missing, and {len(missing) - 1} others. Run `dvc pull {self._store.pointer(self._folder.pictures)}`."
            )

    def _accepted_pictures(self) -> dict[str, Picture]:
        accepted = (one.proposal.picture for one in self.decisions.decided(Verdict.ACCEPTED).values())
        return {picture.file: picture for picture in accepted if picture is not None}

    def _bring(self, proposals: Iterable[Proposal]) -> None:
        """Puts the pictures of proposals among the accepted ones: all of them, or none where one cannot be used."""
        known = self._accepted_pictures()
        wanted = [(one.id, one.picture) for one in proposals if one.picture is not None]
        _need_own_names([*known.values(), *(picture for _, picture in wanted)])
        new = {picture: proposal_id for proposal_id, picture in wanted if picture.file not in known}
        for picture, proposal_id in new.items():
            self._need_decodable(picture, proposal_id)
        for picture in new:
            write_atomically(self._folder.pictures / picture.file, self.picture(picture))
        if new:
            self._store.track(self._folder.pictures)

    def _need_decodable(self, picture: Picture, proposal_id: str) -> None:
        try:
            decode_image(self.picture(picture))
        except ImageDecodeError as error:
            raise DataError(
                f"Expected a picture that can be learned from in {picture.file}, which {proposal_id} adds. {error} "
                f"Nothing was decided. `captiongen corrections reject {proposal_id}` sets it aside."
            ) from error

    def _clear(self) -> None:
        """Takes pictures away that no accepted decision names."""
        wanted, folder = self._accepted_pictures(), self._folder.pictures
        if not _keep_only(folder, wanted):
            return
        if wanted:
            self._store.track(folder)
        else:
            shutil.rmtree(folder)
            self._store.pointer(folder).unlink(missing_ok=True)


def _need_own_names(pictures: Iterable[Picture]) -> None:
    """Of two pictures in one file one would be lost."""
    contents = defaultdict(set)
    for picture in pictures:
        contents[picture.file].add(picture.sha256)
    for file, several in contents.items():
        if len(several) > 1:
            raise DataError(
                f"Expected each added picture in a file of its own, found {len(several)} different ones that would lie "
                f"in {file}. Nothing was decided. Reject all but one of them (`captiongen corrections list --kind "
                "add_image` shows them), or have them proposed under other names."
            )


def _need_no_folders(folder: Path) -> None:
    """What else lies among pictures is removed, or goes with DVC; a folder is more than anybody meant to lose."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir():
            raise DataError(f"Expected pictures alone in {folder}, found the folder {path.name}. Move it elsewhere.")


def _keep_only(folder: Path, names: Collection[str]) -> bool:
    """Removes all other files of a folder; returns whether there were any."""
    others = [path for path in folder.iterdir() if path.name not in names] if folder.is_dir() else []
    for path in others:
        path.unlink()
    return bool(others)
