"""Where people decide: pictures come and go with the decisions that add them."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from captiongen.cli.corrections_desk import CorrectionsDesk
from captiongen.data.corrections import CorrectionsFolder, Kind, Picture, Proposal, write_proposals
from captiongen.data.decisions import Decisions, Verdict
from captiongen.data.feedback import FeedbackFolder
from captiongen.errors import DataError
from captiongen.files import write_atomically
from tests.corrected import Feedback, drop
from tests.datasets import encode, gradient


@dataclass
class FakeStore:
    """Remembers what a folder held whenever it was recorded."""

    recorded: list[set[str]] = field(default_factory=list)

    def track(self, path: Path) -> bool:
        self.recorded.append({entry.name for entry in path.iterdir()})
        self.pointer(path).write_text("outs: []")
        return True

    def pointer(self, path: Path) -> Path:
        return path.with_name(f"{path.name}.dvc")


@dataclass
class Project:
    """A folder of corrections, and its desk."""

    folder: CorrectionsFolder
    store: FakeStore
    desk: CorrectionsDesk

    def propose(self, *contents: bytes) -> list[Proposal]:
        """Proposes to add pictures."""
        proposals = []
        for content in contents:
            sha256 = hashlib.sha256(content).hexdigest()
            picture = Picture(f"{sha256[:8]}.jpg", sha256)
            write_atomically(self.folder.proposed_pictures / picture.file, content)
            proposals.append(
                Proposal(Kind.ADD_IMAGE, (sha256[:8],), "feedback", "", 0.5, instead="A cat .", picture=picture)
            )
        write_proposals(self.folder.proposals("feedback"), proposals)
        return proposals


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder, store = CorrectionsFolder(tmp_path / "corrections"), FakeStore()
    return Project(folder, store, CorrectionsDesk(folder, Decisions(folder, lock=tmp_path / "lock"), store=store))


def test_a_picture_is_recorded_before_its_decision_stands(project: Project):
    """An accepted picture lies among the accepted ones, and under DVC, when its decision is written."""
    [proposal] = project.propose(b"cat")

    def fail(path: Path) -> bool:
        assert not project.folder.accepted.exists()
        raise DataError("DVC is busy")

    project.store.track = fail
    with pytest.raises(DataError, match="busy"):
        project.desk.decide([proposal], Verdict.ACCEPTED)
    assert project.desk.decisions.undecided() == [proposal]
    del project.store.track
    project.desk.decide([proposal], Verdict.ACCEPTED)
    assert project.store.recorded == [{proposal.picture.file}]
    assert (project.folder.pictures / proposal.picture.file).read_bytes() == b"cat"


def test_pictures_leave_with_their_decisions(project: Project):
    """What is undone or rejected is no longer among the accepted pictures; with the last one the folder goes."""
    first, second = project.propose(b"cat", b"dog")
    project.desk.decide([first, second], Verdict.ACCEPTED)
    project.desk.undo([first.id])
    assert project.store.recorded[-1] == {second.picture.file}
    project.desk.decide([second], Verdict.REJECTED)
    assert not project.folder.pictures.exists()
    assert not project.store.pointer(project.folder.pictures).exists()
    assert project.desk.picture(second.picture) == b"dog"  # as a proposal: minds change


def test_decisions_without_pictures_leave_the_pictures_alone(project: Project):
    """Dropping captions records nothing anew, also where pictures have not been pulled."""
    [proposal] = project.propose(b"cat")
    project.desk.decide([proposal], Verdict.ACCEPTED)
    (project.folder.pictures / proposal.picture.file).unlink()
    project.desk.decide([one := drop("a", "A dog .")], Verdict.ACCEPTED)
    project.desk.undo([one.id])
    assert len(project.store.recorded) == 1


def test_pictures_that_were_not_pulled_are_not_forgotten(project: Project):
    """DVC records a folder as it stands: where accepted pictures are missing, none is added or taken away."""
    first, second = project.propose(b"cat", b"dog")
    project.desk.decide([first], Verdict.ACCEPTED)
    (project.folder.pictures / first.picture.file).unlink()
    with pytest.raises(DataError, match="dvc pull"):
        project.desk.decide([second], Verdict.ACCEPTED)
    with pytest.raises(DataError, match="dvc pull"):
        project.desk.undo([first.id])
    assert set(project.desk.decisions.decided(Verdict.ACCEPTED)) == {first.id}


def test_a_picture_that_is_not_here_cannot_be_accepted(project: Project):
    """The message says where it comes from."""
    [proposal] = project.propose(b"cat")
    (project.folder.proposed_pictures / proposal.picture.file).write_bytes(b"another")
    with pytest.raises(DataError, match="captiongen corrections import"):
        project.desk.decide([proposal], Verdict.ACCEPTED)
    assert project.desk.decisions.undecided() == [proposal]


def test_feedback_is_proposed_as_long_as_it_is_kept(project: Project, tmp_path: Path):
    """Each import makes proposals and pictures those of the records there are; accepted pictures stay."""
    feedback = Feedback(FeedbackFolder(tmp_path / "feedback"))
    kept, deleted = encode(gradient(seed=1), "JPEG"), encode(gradient(seed=2), "JPEG")
    feedback.keep("A cat .", kept)
    second = feedback.keep("A dog .", deleted)
    proposals = project.desk.import_feedback(feedback.folder)
    assert sorted(one.instead for one in proposals) == ["A cat .", "A dog ."]
    assert {project.desk.picture(one.picture) for one in proposals} == {kept, deleted}

    feedback.folder.delete(second)
    [proposal] = project.desk.import_feedback(feedback.folder)
    assert (proposal.instead, project.desk.picture(proposal.picture)) == ("A cat .", kept)
    assert len(list(project.folder.proposed_pictures.iterdir())) == 1
    project.desk.decide([proposal], Verdict.ACCEPTED)
    assert project.desk.import_feedback(feedback.folder) == []
    assert [path.read_bytes() for path in project.folder.pictures.iterdir()] == [kept]
