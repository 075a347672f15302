"""What people decide is kept, once, and by several at once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from captiongen.data.corrections import CorrectionsFolder, Kind, Proposal, read_decisions, write_proposals
from captiongen.data.decisions import Decisions, Verdict
from tests.corrected import drop, relabel, weigh

FOLDER = CorrectionsFolder(Path("corrections"))
SURE, UNSURE, SLICE = drop("a", "A dog .", score=0.9), drop("b", "A dog .", score=0.2), weigh("a", "b", weight=2.0)


@pytest.fixture
def decisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Decisions:
    """Three proposals of two sources, nothing decided."""
    monkeypatch.chdir(tmp_path)
    write_proposals(FOLDER.proposals("audit"), [SURE, UNSURE])
    write_proposals(FOLDER.proposals("analysis"), [SLICE])
    return _open()


def _open() -> Decisions:
    return Decisions(FOLDER, lock=Path("state/lock"))


def test_the_surest_comes_first(decisions: Decisions):
    """All that is undecided, of all sources, in the order of certainty; what two sources propose comes once."""
    write_proposals(FOLDER.proposals("analysis"), [SLICE, replace(UNSURE, source="analysis", score=0.95)])
    assert [(one.id, one.score) for one in decisions.undecided()] == [
        (UNSURE.id, 0.95),
        (SURE.id, 0.9),
        (SLICE.id, 0.7),
    ]


def test_a_decision_is_on_the_disk_and_not_asked_again(decisions: Decisions):
    """Whoever opens the folder next finds it, whole, with its date and, if one was given, a name."""
    before = datetime.now(UTC).replace(microsecond=0)
    decisions.decide([SURE], Verdict.ACCEPTED, by="Ada")
    decisions.decide([UNSURE], Verdict.REJECTED)
    [accepted], [rejected] = read_decisions(FOLDER.accepted), read_decisions(FOLDER.rejected)
    assert (accepted.proposal, accepted.decided_by) == (SURE, "Ada")
    assert (rejected.proposal, rejected.decided_by) == (UNSURE, "")
    assert before <= accepted.decided_at <= datetime.now(UTC)
    assert _open().undecided() == [SLICE]


def test_who_rewrote_a_caption_is_not_asked_to_drop_it(decisions: Decisions):
    """Nothing else is open about what was accepted; taken back, it is; rejected, other proposals stay."""
    other = relabel("a", "A dog .", "A cat .")
    write_proposals(FOLDER.proposals("analysis"), [SLICE, other])
    decisions.decide([written := SURE.rewritten("Two dogs .")], Verdict.ACCEPTED)
    assert decisions.undecided() == [SLICE, UNSURE]
    decisions.undo([written.id])
    decisions.decide([other], Verdict.REJECTED)
    assert decisions.undecided() == [SURE, SLICE, UNSURE]


def test_of_what_is_accepted_about_a_caption_the_last_counts(decisions: Decisions):
    """Rewritten twice, or after it was dropped, a caption has one decision; of several at once the first is kept."""
    first, second = SURE.rewritten("Two dogs ."), SURE.rewritten("Three dogs .")
    for one in (SURE, first, second):
        assert decisions.decide([one, SLICE], Verdict.ACCEPTED)[0] == one
        assert set(decisions.decided(Verdict.ACCEPTED)) == {one.id, SLICE.id}
    decisions.undo([second.id])
    assert decisions.decide([first, SURE], Verdict.ACCEPTED) == [first]
    decisions.decide([SURE, second], Verdict.REJECTED)
    assert set(decisions.decided(Verdict.REJECTED)) == {SURE.id, second.id}


def test_another_caption_of_the_image_and_how_often_one_stands_stay_open(decisions: Decisions):
    """Only what is about the same caption is settled; that it stands there twice is another matter."""
    twice = Proposal(Kind.MERGE_CAPTIONS, ("a",), "audit", "Twice.", 1.0, caption="A dog .")
    other = drop("a", "A cat .", score=0.5)
    write_proposals(FOLDER.proposals("audit"), [SURE, twice, other])
    decisions.decide([SURE.rewritten("Two dogs .")], Verdict.ACCEPTED)
    assert decisions.undecided() == [twice, SLICE, other]


def test_deciding_the_same_again_writes_nothing(decisions: Decisions):
    """The first date stays, and the files are the same bytes: nothing becomes stale."""
    decisions.decide([SURE], Verdict.ACCEPTED, by="Ada")
    content = FOLDER.accepted.read_bytes()
    assert decisions.decide([SURE], Verdict.ACCEPTED, by="Bo") == []
    decisions.decide([UNSURE], Verdict.REJECTED)
    assert FOLDER.accepted.read_bytes() == content


def test_a_change_of_mind_leaves_one_decision(decisions: Decisions):
    """Who rejects what was accepted has rejected it; undone, it is open again."""
    decisions.decide([SURE, SLICE], Verdict.ACCEPTED)
    assert decisions.decide([SURE], Verdict.REJECTED) == [SURE]
    assert set(decisions.decided(Verdict.ACCEPTED)) == {SLICE.id}
    assert set(decisions.decided(Verdict.REJECTED)) == {SURE.id}
    assert [one.proposal for one in decisions.undo([SURE.id, SLICE.id, "unknown"])] == [SLICE, SURE]
    assert decisions.undecided() == [SURE, SLICE, UNSURE]


def test_a_decision_outlives_its_proposal(decisions: Decisions):
    """Proposals are made anew by every analysis; what was decided stays."""
    decisions.decide([SURE], Verdict.ACCEPTED)
    write_proposals(FOLDER.proposals("audit"), [])
    assert decisions.decided(Verdict.ACCEPTED)[SURE.id].proposal == SURE


def test_who_decides_at_once_loses_nothing(decisions: Decisions):
    """Many who decide at the same moment, each on something else: every decision is kept."""
    proposals = [drop(f"{number}.png", "A dog .") for number in range(24)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda one: _open().decide([one], Verdict.ACCEPTED), proposals))
    assert set(decisions.decided(Verdict.ACCEPTED)) == {one.id for one in proposals}
