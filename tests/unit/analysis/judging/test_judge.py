"""The judge orders captions as people would, by the references alone."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from captiongen.analysis.errors.fact_reader import FactReader
from captiongen.analysis.judging.judge import AGREEMENT_WEIGHTS, Judge
from captiongen.errors import DataError

REFERENCES = {
    "dog": ("A brown dog runs on the beach.", "A dog is running across the sand.", "A wet brown dog on a beach."),
    "man": ("A man rides a bicycle down a street.", "A cyclist in a red shirt on a road.", "A man on a bike."),
    "girl": ("A girl in a pink dress plays with a ball.", "A little girl kicks a ball.", "A child with a ball."),
    "boat": ("Two people row a boat on a lake.", "A couple in a small boat.", "People in a boat on the water."),
}


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(REFERENCES, FactReader())


def test_captions_of_falling_worth_score_less_and_less(judge: Judge):
    """Right before nearly right before of the same kind of picture before of another picture."""
    captions = (
        "a brown dog running on the beach",
        "a black dog running on the beach",
        "a dog sleeping on a couch",
        "two people row a boat",
    )
    scores = [judge.judge("dog", caption).score for caption in captions]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == len(scores)
    assert 0.0 <= scores[-1] < 0.1 < 0.5 < scores[0] <= 1.0


def test_a_synonym_is_worth_nearly_the_word(judge: Judge):
    """Another name for the same thing loses less than another thing."""
    bike, bicycle, boat = (judge.judge("man", f"a man on a {word}").content for word in ("bike", "bicycle", "boat"))
    assert boat < bicycle <= bike + 0.05


@pytest.mark.parametrize("worse", ["a brown dog running on the beach a brown dog", "a brown dog running on the"])
def test_repetition_and_a_broken_end_cost(judge: Judge, worse: str):
    """A caption that says itself again, or stops in the middle, scores less than the whole one."""
    assert judge.judge("dog", worse).score < judge.judge("dog", "a brown dog running on the beach").score


def test_an_empty_caption_is_worth_nothing(judge: Judge):
    """No words, no score."""
    assert judge.judge("dog", "").score == 0.0


def test_an_empty_caption_is_worth_nothing_to_who_looks_at_the_picture_either():
    """Whatever the picture's scorer makes of no words."""
    assert Judge(REFERENCES, FactReader(), image_scorer=lambda *_: 0.5).judge("dog", "").score == 0.0


def test_a_second_scorer_that_looks_at_the_picture_is_asked():
    """The image's own score moves the score towards it, less than the references hold it."""
    judge = Judge(REFERENCES, FactReader(), image_scorer=lambda image_id, caption: float("dog" in caption))
    found = judge.judge("boat", "a dog")
    assert found.image_score == 1.0
    blind = Judge(REFERENCES, FactReader()).judge("boat", "a dog")
    assert blind.image_score is None
    assert blind.score < found.score < (blind.score + 1.0) / 2


def test_captions_are_also_compared_as_wholes(judge: Judge):
    """What lies near the references scores more than what lies far, the words being as they are."""

    def embed(captions: Sequence[str]) -> npt.NDArray[np.float64]:
        """On the circle: dogs above, all else to the right; an empty caption nowhere."""
        places = [(0.0, 0.0) if not one else (0.0, 1.0) if "dog" in one else (1.0, 0.0) for one in captions]
        return np.array(places)

    embedding = Judge(REFERENCES, FactReader(), embedder=embed)
    near, far, empty = (embedding.judge("dog", caption) for caption in ("a dog", "a beach", ""))
    assert (near.likeness, far.likeness, empty.likeness) == (1.0, 0.0, 0.0)
    assert judge.judge("dog", "a dog").likeness is None
    assert near.score > judge.judge("dog", "a dog").score
    assert 0.0 < far.score < judge.judge("dog", "a beach").score
    assert empty.score == 0.0


def test_an_image_without_references_is_named(judge: Judge):
    """An unknown image is an error, not a zero."""
    with pytest.raises(DataError, match="'cat'"):
        judge.judge("cat", "a cat")


def test_the_weights_sum_to_one():
    """The agreement is a weighted mean."""
    assert sum(AGREEMENT_WEIGHTS.values()) == pytest.approx(1.0)
