"""Where people decide: pictures come and go with the decisions that add them."""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from captiongen.cli.corrections_desk import CorrectionsDesk
from captiongen.data.corrections import CorrectionsFolder, Kind, Picture, Proposal, write_proposals
from captiongen.data.decisions import Decisions, Verdict
from captiongen.data.feedback import FeedbackFolder
from captiongen.errors import DataError
from captiongen.files import write_atomically
from tests.corrected import Feedback, drop
from tests.datasets import empty_png, encode, gradient

CAT, DOG = encode(gradient(seed=1), "JPEG"), encode(gradient(seed=2), "JPEG")


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
    [proposal] = project.propose(CAT)

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
    assert (project.folder.pictures / proposal.picture.file).read_bytes() == CAT


def test_pictures_leave_with_their_decisions(project: Project):
    """What is undone or rejected is no longer among the accepted pictures; with the last one the folder goes."""
    first, second = project.propose(CAT, DOG)
    project.desk.decide([first, second], Verdict.ACCEPTED)
    project.desk.undo([first.id])
    assert project.store.recorded[-1] == {second.picture.file}
    project.desk.decide([second], Verdict.REJECTED)
    assert not project.folder.pictures.exists()
    assert not project.store.pointer(project.folder.pictures).exists()
    assert project.desk.picture(second.picture) == DOG  # as a proposal: minds change


def test_a_picture_stays_as_long_as_one_of_its_captions(project: Project):
    """Of two users' captions of a picture one can be taken back: the picture goes with the other."""
    [first] = project.propose(CAT)
    second = replace(first, instead="A grey cat .")
    assert project.desk.decide([first, second], Verdict.ACCEPTED).changed == (first, second)
    project.desk.undo([first.id])
    assert (project.folder.pictures / second.picture.file).read_bytes() == CAT
    project.desk.undo([second.id])
    assert not project.folder.pictures.exists()


def test_decisions_without_pictures_leave_the_pictures_alone(project: Project):
    """Dropping captions records nothing anew, also where pictures have not been pulled."""
    [proposal] = project.propose(CAT)
    project.desk.decide([proposal], Verdict.ACCEPTED)
    (project.folder.pictures / proposal.picture.file).unlink()
    project.desk.decide([one := drop("a", "A dog .")], Verdict.ACCEPTED)
    project.desk.undo([one.id])
    assert len(project.store.recorded) == 1


def test_pictures_that_were_not_pulled_are_not_forgotten(project: Project):
    """DVC records a folder as it stands: where accepted pictures are missing, none is added or taken away."""
    first, second = project.propose(CAT, DOG)
    project.desk.decide([first], Verdict.ACCEPTED)
    (project.folder.pictures / first.picture.file).unlink()
    with pytest.raises(DataError, match="dvc pull"):
        project.desk.decide([second], Verdict.ACCEPTED)
    with pytest.raises(DataError, match="dvc pull"):
        project.desk.undo([first.id])
    assert set(project.desk.decisions.decided(Verdict.ACCEPTED)) == {first.id}


def test_a_picture_that_is_not_here_cannot_be_accepted(project: Project):
    """The message says where it comes from."""
    [proposal] = project.propose(CAT)
    (project.folder.proposed_pictures / proposal.picture.file).write_bytes(b"another")
    with pytest.raises(DataError, match="captiongen corrections import"):
        project.desk.decide([proposal], Verdict.ACCEPTED)
    assert project.desk.decisions.undecided() == [proposal]


def test_feedback_is_proposed_as_long_as_it_is_kept(project: Project, tmp_path: Path):
    """Each import makes proposals and pictures those of the records there are; accepted pictures stay."""
    feedback = Feedback(FeedbackFolder(tmp_path / "feedback"))
    feedback.keep("A cat .", CAT)
    second = feedback.keep("A dog .", DOG)
    proposals = project.desk.import_feedback(feedback.folder)
    assert sorted(one.instead for one in proposals) == ["A cat .", "A dog ."]
    assert {project.desk.picture(one.picture) for one in proposals} == {CAT, DOG}

    feedback.folder.delete(second)
    [proposal] = project.desk.import_feedback(feedback.folder)
    assert (proposal.instead, project.desk.picture(proposal.picture)) == ("A cat .", CAT)
    assert len(list(project.folder.proposed_pictures.iterdir())) == 1
    project.desk.decide([proposal], Verdict.ACCEPTED)
    assert project.desk.import_feedback(feedback.folder) == []
    assert [path.read_bytes() for path in project.folder.pictures.iterdir()] == [CAT]


@pytest.mark.parametrize("content", [b"no picture", CAT[:200]], ids=["foreign", "cut off"])
def test_a_picture_that_cannot_be_decoded_is_not_accepted(project: Project, content: bytes):
    """Nothing is written of a decision that would bring one, good pictures in it included."""
    proposals = project.propose(CAT, content)
    with pytest.raises(DataError, match=f"corrections reject {proposals[1].id}"):
        project.desk.decide(proposals, Verdict.ACCEPTED)
    assert not project.folder.pictures.exists()
    assert project.store.recorded == []
    assert len(project.desk.decisions.undecided()) == 2


def test_a_decompression_bomb_is_not_accepted(project: Project):
    """A small file that announces more pixels than a picture has is refused before they are unpacked."""
    [proposal] = project.propose(empty_png(30_000, 30_000))
    with pytest.raises(DataError, match="megapixels"):
        project.desk.decide([proposal], Verdict.ACCEPTED)
    assert not project.folder.pictures.exists()


@pytest.mark.parametrize("is_first_accepted", [True, False])
def test_two_pictures_in_one_file_are_not_accepted(project: Project, is_first_accepted: bool):
    """Of two that would lie in one file one would be lost: at once, and one after the other."""
    first, second = project.propose(CAT, DOG)
    second = replace(second, picture=replace(second.picture, file=first.picture.file))
    if is_first_accepted:
        project.desk.decide([first], Verdict.ACCEPTED)
    with pytest.raises(DataError, match=f"would lie in {first.picture.file}"):
        project.desk.decide([first, second], Verdict.ACCEPTED)
    assert set(project.desk.decisions.decided(Verdict.ACCEPTED)) == ({first.id} if is_first_accepted else set())


def test_a_folder_among_the_pictures_is_left_alone(project: Project, tmp_path: Path):
    """It is named, nothing is decided, and nobody loses what lies in it."""
    [proposal] = project.propose(CAT)
    for folder in (project.folder.pictures, project.folder.proposed_pictures):
        (folder / "mine").mkdir(parents=True)
        (folder / "mine" / "cat.jpg").write_bytes(CAT)
    refused = pytest.raises(DataError, match="found the folder mine")
    with refused:
        project.desk.decide([proposal], Verdict.ACCEPTED)
    with refused:
        project.desk.undo([proposal.id])
    with refused:
        project.desk.import_feedback(FeedbackFolder(tmp_path / "feedback"))
    assert not project.folder.accepted.exists()
    assert (project.folder.pictures / "mine" / "cat.jpg").read_bytes() == CAT
