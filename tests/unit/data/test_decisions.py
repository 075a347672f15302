"""What people decide is kept, once, and by several at once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from captiongen.data.corrections import CorrectionsFolder, read_decisions, write_proposals
from captiongen.data.decisions import Decisions, Verdict
from tests.corrected import drop, merge, relabel, reported, weigh

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
    [written] = SURE.rewritten("Two dogs .")
    decisions.decide([written], Verdict.ACCEPTED)
    assert decisions.undecided() == [SLICE, UNSURE]
    decisions.undo([written.id])
    decisions.decide([other], Verdict.REJECTED)
    assert decisions.undecided() == [SURE, SLICE, UNSURE]


def test_of_what_is_accepted_about_a_caption_the_last_counts(decisions: Decisions):
    """Rewritten twice, or after it was dropped, a caption has one decision, and what that replaced is returned."""
    [first], [second] = SURE.rewritten("Two dogs ."), SURE.rewritten("Three dogs .")
    decisions.decide([SLICE], Verdict.ACCEPTED)
    replaced = []
    for one in (SURE, first, second):
        outcome = decisions.decide([one, SLICE], Verdict.ACCEPTED)
        assert outcome.changed == (one,)
        replaced += outcome.replaced
        assert set(decisions.decided(Verdict.ACCEPTED)) == {one.id, SLICE.id}
    assert replaced == [SURE, first]


def test_of_what_is_accepted_at_once_about_a_caption_the_first_counts(decisions: Decisions):
    """The others are returned as left out, also when it is all said a second time; rejected are all of them."""
    [first] = SURE.rewritten("Two dogs .")
    for changed in ((first,), ()):
        outcome = decisions.decide([first, SURE], Verdict.ACCEPTED)
        assert (outcome.changed, outcome.replaced, outcome.left_out) == (changed, (), (SURE,))
        assert set(decisions.decided(Verdict.ACCEPTED)) == {first.id}
    assert decisions.decide([SURE, first], Verdict.REJECTED).changed == (SURE, first)
    assert set(decisions.decided(Verdict.REJECTED)) == {SURE.id, first.id}


@pytest.mark.parametrize("is_at_once", [True, False])
def test_captions_that_two_users_wrote_of_a_picture_are_both_kept(decisions: Decisions, is_at_once: bool):
    """Accepted at once or one after the other, the second caption joins the first, and neither is asked again."""
    both = [reported("a cat on a mat", score=0.6), reported("a grey cat sleeps")]
    write_proposals(FOLDER.proposals("feedback"), both)
    for chosen in [both] if is_at_once else [[one] for one in both]:
        outcome = decisions.decide(chosen, Verdict.ACCEPTED)
        assert (outcome.changed, outcome.replaced, outcome.left_out) == (tuple(chosen), (), ())
    assert set(decisions.decided(Verdict.ACCEPTED)) == {one.id for one in both}
    assert not {one.id for one in both} & {one.id for one in decisions.undecided()}


def test_a_rewritten_report_replaces_only_what_it_was_made_of(decisions: Decisions):
    """Other users' captions of the picture stay accepted, or open; a second rewriting replaces the first one."""
    first, other, open_one = map(reported, ("a cat on a mat", "a grey cat sleeps", "fur"))
    write_proposals(FOLDER.proposals("feedback"), [first, other, open_one])
    decisions.decide([first, other], Verdict.ACCEPTED)
    [written], [again] = first.rewritten("a cat on a rug"), first.rewritten("a cat sits on a rug")
    assert decisions.decide([written], Verdict.ACCEPTED).replaced == (first,)
    assert decisions.decide([again], Verdict.ACCEPTED).replaced == (written,)
    assert set(decisions.decided(Verdict.ACCEPTED)) == {again.id, other.id}
    assert [one for one in decisions.undecided() if one.source == "feedback"] == [open_one]


def test_another_caption_of_the_image_and_how_often_one_stands_stay_open(decisions: Decisions):
    """Only what is about the same caption is settled; that it stands there twice is another matter."""
    twice = merge("a", "A dog .")
    other = drop("a", "A cat .", score=0.5)
    write_proposals(FOLDER.proposals("audit"), [SURE, twice, other])
    decisions.decide(SURE.rewritten("Two dogs ."), Verdict.ACCEPTED)
    assert decisions.undecided() == [twice, SLICE, other]


def test_who_rewrites_one_of_equal_captions_merges_them(decisions: Decisions):
    """Own words written at a proposal to merge accept it too: it is not asked again."""
    twice = merge("a", "A caat .")
    write_proposals(FOLDER.proposals("audit"), [twice])
    written = twice.rewritten("A cat .")
    assert {(one.kind, one.instead) for one in written} == {("merge_captions", None), ("relabel_caption", "A cat .")}
    assert decisions.decide(written, Verdict.ACCEPTED).changed == written
    assert decisions.undecided() == [SLICE]


def test_deciding_the_same_again_writes_nothing(decisions: Decisions):
    """The first date stays, and the files are the same bytes: nothing becomes stale."""
    decisions.decide([SURE], Verdict.ACCEPTED, by="Ada")
    content = FOLDER.accepted.read_bytes()
    assert decisions.decide([SURE], Verdict.ACCEPTED, by="Bo").changed == ()
    decisions.decide([UNSURE], Verdict.REJECTED)
    assert FOLDER.accepted.read_bytes() == content


def test_a_change_of_mind_leaves_one_decision(decisions: Decisions):
    """Who rejects what was accepted has rejected it; undone, it is open again."""
    decisions.decide([SURE, SLICE], Verdict.ACCEPTED)
    assert decisions.decide([SURE], Verdict.REJECTED).changed == (SURE,)
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
