"""Corpus BLEU from statistics."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captiongen.metrics.bleu import BleuReferences, bleu_from_statistics, bleu_statistics

CAPTIONS = st.lists(st.sampled_from(["a", "dog", "runs", "in", "the", "park"]), max_size=9)
IMAGES = st.lists(st.tuples(CAPTIONS, st.lists(CAPTIONS, min_size=1, max_size=4)), min_size=1, max_size=6)


def _statistics(images: list) -> np.ndarray:
    return np.array([bleu_statistics(hypothesis, BleuReferences.of(others)) for hypothesis, others in images])


@given(IMAGES, st.randoms(use_true_random=False))
def test_order_has_no_say(images: list, random):
    """Shuffling images, and references within an image, leaves corpus BLEU as it is."""
    shuffled = [(hypothesis, random.sample(others, len(others))) for hypothesis, others in images]
    random.shuffle(shuffled)
    first, second = (bleu_from_statistics(_statistics(some).sum(axis=0)) for some in (images, shuffled))
    np.testing.assert_array_equal(first, second)


@given(IMAGES)
def test_bleu_lies_between_0_and_100_and_falls_with_the_order(images: list):
    """BLEU is a percentage; a longer n-gram is no easier to match (a wholly unmatched order is 0 up to rounding)."""
    bleu = bleu_from_statistics(_statistics(images).sum(axis=0))
    assert (bleu >= 0).all()
    assert (bleu <= 100 + 1e-6).all()


def test_two_equally_near_lengths_count_as_the_shorter():
    """For a hypothesis of four words, references of three and five words give a reference length of three."""
    references = BleuReferences.of([["a"] * 5, ["a"] * 3])
    assert bleu_statistics(["a"] * 4, references)[-1] == 3


def test_corpus_bleu_is_no_mean_of_parts():
    """The BLEU of two images together differs from the mean of their BLEUs."""
    images = [
        (["a", "dog", "runs", "in"], [["a", "dog", "runs", "in"]]),
        (["a", "cat"], [["two", "birds", "fly", "off"]]),
    ]
    statistics = _statistics(images)
    whole, parts = bleu_from_statistics(statistics.sum(axis=0)), bleu_from_statistics(statistics).mean(axis=0)
    assert abs(whole[3] - parts[3]) > 5


def test_saying_a_word_twice_is_no_second_match():
    """Matches are clipped by the largest count in any one reference."""
    statistics = bleu_statistics(["the"] * 7, BleuReferences.of([["the", "cat", "the"], ["the"]]))
    assert statistics[:2] == pytest.approx([2, 0])
