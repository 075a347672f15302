"""Badness: what it is made of, and that it grows with each part."""

import math
from dataclasses import replace

import pytest
from evaluated import captioned, hypothesis, scored
from hypothesis import given
from hypothesis import strategies as st

from captiongen.analysis.ranking import BADNESS_WEIGHTS, doubt, rank_captions, repetition, shortfall
from captiongen.errors import DataError
from captiongen.types import Hypothesis, WordScore

CIDER = st.floats(0, 300)


@given(CIDER, CIDER, CIDER)
def test_shortfall_grows_as_the_caption_gets_worse_and_people_better(cider: float, human: float, step: float):
    """A lower CIDEr, or a higher human one, never makes the shortfall smaller; it stays within 0 and 1."""
    base = shortfall(cider + step, human)
    assert 0.0 <= base <= 1.0
    assert shortfall(cider, human) >= base
    assert shortfall(cider + step, human + step) >= base


def test_a_caption_as_good_as_people_lacks_nothing():
    """At or above the human score of the image the shortfall is zero."""
    assert shortfall(80.0, 80.0) == shortfall(150.0, 80.0) == 0.0


def test_where_people_disagree_a_zero_says_less():
    """CIDEr 0 is worse on an image on which people score 150 than on one on which they score 20."""
    assert shortfall(0.0, 150.0) > 1.5 * shortfall(0.0, 20.0)


@given(st.floats(0.01, 0.98), st.floats(0.001, 0.01))
def test_doubt_grows_as_words_get_less_likely(probability: float, step: float):
    """Less probable words mean more doubt, between 0 and 1."""
    sure, unsure = hypothesis("a dog runs", probability + step), hypothesis("a dog runs", probability)
    assert 0.0 <= doubt(sure) < doubt(unsure) <= 1.0


def test_doubt_of_a_truncated_caption_counts_no_end():
    """A caption that stopped at the length limit has no end token whose probability could dilute its doubt."""
    words = (WordScore("a", 0.5), WordScore("dog", 0.5))
    cut = Hypothesis("a dog", words, 2 * math.log(0.5), 0.0, is_complete=False)
    assert doubt(cut) == pytest.approx(0.5)
    assert doubt(replace(cut, log_probability=3 * math.log(0.5), is_complete=True)) == pytest.approx(0.5)
    assert doubt(Hypothesis("", (), 0.0, 0.0, is_complete=False)) == 0.0


@pytest.mark.parametrize(
    ("caption", "expected"),
    [("", 0.0), ("dog", 0.0), ("a dog runs", 0.0), ("a dog a dog", 1 / 3), ("the the the the the", 0.75)],
)
def test_repetition_is_the_share_of_pairs_said_before(caption: str, expected: float):
    """Pairs of neighbouring words that came before are counted."""
    assert repetition(caption) == pytest.approx(expected)


def test_each_part_makes_a_caption_worse():
    """Of captions that differ in one part only, the one with that fault ranks as worse."""
    fine = captioned("fine", hypothesis("a dog runs here"))
    faults = {
        "doubt": captioned("doubt", hypothesis("a dog runs here", 0.2)),
        "repetition": captioned("repetition", replace(fine.hypotheses[0], caption="a dog a dog")),
        "truncation": captioned("truncation", hypothesis("a dog runs here", is_complete=False)),
    }
    for name, faulty in faults.items():
        ranked = rank_captions([fine, faulty], [scored("fine", 60.0), scored(name, 60.0)])
        assert [one.image.image_id for one in ranked] == [name, "fine"]
    ranked = rank_captions([fine, captioned("off", *fine.hypotheses)], [scored("fine", 60.0), scored("off", 5.0)])
    assert ranked[0].image.image_id == "off"


def test_the_weights_sum_to_one():
    """Badness lies in 0..1 because its parts do and its weights sum to 1."""
    assert sum(BADNESS_WEIGHTS.values()) == pytest.approx(1.0)


def test_equals_are_ordered_by_image():
    """The order is the same whatever order the images came in."""
    images = [captioned(name, hypothesis("a dog")) for name in "cab"]
    ranked = rank_captions(images, [scored(name, 10.0) for name in "bca"])
    assert [one.image.image_id for one in ranked] == ["a", "b", "c"]


def test_an_image_with_one_reference_can_be_ranked():
    """Without a human score the scale's own idea of a human stands in."""
    images = [captioned(name, hypothesis("a dog")) for name in "ab"]
    ranked = rank_captions(images, [scored("a", 90.0, None), scored("b", 10.0, None)])
    assert [one.image.image_id for one in ranked] == ["b", "a"]


def test_metrics_of_other_images_are_refused():
    """Captions and metrics must be of the same images."""
    with pytest.raises(DataError, match="dvc repro evaluate"):
        rank_captions([captioned("a", hypothesis("a dog"))], [scored("b", 10.0)])
