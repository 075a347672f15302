"""A person's way through proposals."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import pytest

from captiongen.data.corrections import Proposal
from captiongen.data.decisions import Verdict
from captiongen.errors import UsageError
from captiongen.serving.review import Review, ShownImage, Visit
from tests.corrected import drop, merge

FIRST, SECOND, THIRD = (drop(name, "A dog .", score=score) for name, score in (("a", 0.9), ("b", 0.8), ("c", 0.7)))


@dataclass
class FakeDesk:
    """Keeps decisions in memory."""

    proposals: list[Proposal] = field(default_factory=lambda: [FIRST, SECOND, THIRD])
    decided: dict[str, Verdict] = field(default_factory=dict)

    def undecided(self) -> Sequence[Proposal]:
        return [one for one in self.proposals if one.id not in self.decided]

    def images(self, proposal: Proposal) -> Sequence[ShownImage]:
        return [ShownImage(name, None) for name in proposal.image_ids]

    def decide(self, proposals: Sequence[Proposal], verdict: Verdict) -> None:
        self.decided |= {one.id: verdict for one in proposals}

    def undo(self, ids: Collection[str]) -> None:
        for name in ids:
            del self.decided[name]


def test_what_was_decided_is_followed_by_the_next():
    """Accepted and rejected proposals leave the queue, in the order of certainty."""
    review = Review(desk := FakeDesk())
    visit = review.decide(Visit(), FIRST.id, Verdict.ACCEPTED)
    visit = review.decide(visit, SECOND.id, Verdict.REJECTED)
    assert desk.decided == {FIRST.id: Verdict.ACCEPTED, SECOND.id: Verdict.REJECTED}
    assert review.queue(visit) == [THIRD]


def test_a_second_click_decides_on_nothing_else():
    """The button decides on what was seen: clicked twice, the next proposal stays open."""
    review = Review(desk := FakeDesk())
    visit = review.decide(Visit(), FIRST.id, Verdict.ACCEPTED)
    assert review.decide(visit, FIRST.id, Verdict.ACCEPTED) == visit
    assert list(desk.decided) == [FIRST.id]


def test_an_answer_to_what_others_decided_meanwhile_is_refused_in_words():
    """What a person wrote or decided is not lost without a word; the visit is what it was, and can go on."""
    review = Review(desk := FakeDesk())
    desk.decide([FIRST], Verdict.REJECTED)
    with pytest.raises(UsageError, match=r"Nothing was kept: .* decided elsewhere .* Skip shows the next one"):
        review.rewrite(Visit(), FIRST.id, "Two cats .")
    with pytest.raises(UsageError, match="Nothing was kept"):
        review.decide(Visit(), FIRST.id, Verdict.ACCEPTED)
    assert desk.decided == {FIRST.id: Verdict.REJECTED}
    assert review.queue(review.skip(Visit(), FIRST.id)) == [SECOND, THIRD]


def test_an_answer_to_nothing_decides_nothing():
    """At the end no proposal is shown, and the buttons do nothing."""
    review = Review(FakeDesk([]))
    assert review.decide(Visit(), "", Verdict.ACCEPTED) == Visit()


def test_a_caption_is_written_once_however_often_enter_is_pressed():
    """The second time this person's own decision is found."""
    review = Review(desk := FakeDesk())
    visit = review.rewrite(Visit(), FIRST.id, "Two cats .")
    desk.proposals.remove(FIRST)
    assert review.rewrite(visit, FIRST.id, "Two cats .") == visit


def test_skipped_ones_come_last():
    """What was skipped comes again after all others, the first one first."""
    review = Review(FakeDesk())
    visit = review.skip(review.skip(Visit(), SECOND.id), FIRST.id)
    assert review.queue(visit) == [THIRD, SECOND, FIRST]
    assert review.queue(review.skip(visit, SECOND.id)) == [THIRD, FIRST, SECOND]


def test_undo_shows_the_last_one_again():
    """The last decision of this person is taken back first, and its proposal is the next; without any nothing is."""
    review = Review(desk := FakeDesk())
    visit = review.decide(Visit(), FIRST.id, Verdict.ACCEPTED)
    visit = review.undo(review.decide(visit, THIRD.id, Verdict.REJECTED))
    assert review.queue(visit)[0] == THIRD
    visit = review.undo(visit)
    assert review.queue(visit) == [FIRST, SECOND, THIRD]
    assert review.undo(visit) == visit
    assert desk.decided == {}


def test_a_caption_can_be_rewritten():
    """What was written is accepted, of the proposal that was seen; undone, the proposal is the next."""
    review = Review(desk := FakeDesk())
    visit = review.rewrite(review.skip(Visit(), FIRST.id), FIRST.id, "Two cats .")
    [written] = FIRST.rewritten("Two cats .")
    assert desk.decided == {written.id: Verdict.ACCEPTED}
    assert review.undo(visit).taken_back == FIRST.id
    assert desk.decided == {}


def test_who_rewrites_equal_captions_undoes_both_decisions():
    """Merged and rewritten by one answer, the captions are as before when it is taken back."""
    review = Review(desk := FakeDesk([twice := merge("a", "A caat .")]))
    visit = review.rewrite(Visit(), twice.id, "A cat .")
    assert set(desk.decided) == {one.id for one in twice.rewritten("A cat .")}
    assert review.queue(visit) == []
    assert review.queue(review.undo(visit)) == [twice]
    assert desk.decided == {}


@pytest.mark.parametrize("nothing", ["", " ", "?!", "two\nlines"])
def test_what_is_no_caption_rewrites_nothing(nothing: str):
    """The proposal stays open."""
    review = Review(desk := FakeDesk())
    with pytest.raises(UsageError, match="Not rewritten: expected a"):
        review.rewrite(Visit(), FIRST.id, nothing)
    assert desk.decided == {}
