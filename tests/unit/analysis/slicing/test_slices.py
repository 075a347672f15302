"""Where it fails: slices, and those that are worse beyond chance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captiongen.analysis.slicing.properties import Property
from captiongen.analysis.slicing.slices import MIN_IMAGES, SplitScores, find_slices

NUM_IMAGES = 200


def scores(badness: np.ndarray) -> SplitScores:
    ids = [f"{i:03d}" for i in range(len(badness))]
    return SplitScores(ids, 100 * (1 - badness), np.full(len(badness), 80.0), badness)


def mask(*positions: int) -> np.ndarray:
    chosen = np.zeros(NUM_IMAGES, dtype=bool)
    chosen[list(positions)] = True
    return chosen


DOGS, SNOW = Property("topic", "dogs"), Property("brightness", "bright")
MEMBERS = {DOGS: mask(*range(100)), SNOW: mask(*range(60, 160)), Property("topic", "rare"): mask(*range(5))}


def test_a_slice_that_is_worse_is_found_by_its_name():
    """The dogs are worse, the bright pictures are not; the figures are those of the slice."""
    badness = np.random.default_rng(0).uniform(0.3, 0.5, NUM_IMAGES)
    badness[:100] += 0.2
    found = find_slices(scores(badness), MEMBERS, num_resamples=100, seed=0)
    (worse,) = found.worse
    assert worse.properties == (DOGS,)
    assert worse.is_worse
    assert worse.image_ids == tuple(f"{i:03d}" for i in range(100))
    assert worse.badness.mean == pytest.approx(badness[:100].mean())
    assert worse.badness.low < worse.badness.mean < worse.badness.high
    assert worse.difference == pytest.approx(badness[:100].mean() - badness[100:].mean())
    assert worse.human_cider == 80.0


def test_a_pair_that_is_worse_than_both_of_its_parts_is_found():
    """Dogs in bright pictures fail though neither dogs nor bright pictures do so elsewhere."""
    badness = np.random.default_rng(0).uniform(0.3, 0.5, NUM_IMAGES)
    badness[60:100] += 0.3
    found = find_slices(scores(badness), MEMBERS, num_resamples=100, seed=0)
    assert {DOGS, SNOW} == set(found.worse[0].properties)
    assert "topic: dogs" in found.worse[0].name


def test_slices_with_few_images_are_not_spoken_of():
    """Below the least support there is no row and no finding."""
    badness = np.full(NUM_IMAGES, 0.3)
    badness[:5] = 1.0
    found = find_slices(scores(badness), MEMBERS, num_resamples=100, seed=0)
    assert [one.properties for one in found.singles] == [(DOGS,), (SNOW,)]
    assert all(len(one.image_ids) >= MIN_IMAGES for one in found.singles)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_chance_alone_is_seldom_reported(seed: int):
    """Of forty random slices of equal images hardly any is called worse."""
    generator = np.random.default_rng(seed)
    members = {Property(f"group {i}", "yes"): generator.random(NUM_IMAGES) < 0.3 for i in range(40)}
    found = find_slices(scores(generator.random(NUM_IMAGES)), members, num_resamples=100, seed=0)
    assert len(found.worse) <= 8


def test_images_that_are_all_alike_have_no_worse_slice():
    """Without any spread there is nothing to test, and nothing fails."""
    assert find_slices(scores(np.full(NUM_IMAGES, 0.5)), MEMBERS, num_resamples=100, seed=0).worse == ()
