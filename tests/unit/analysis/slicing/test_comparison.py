"""Champion against challenger: fixed, broken, and the slices that were lost."""

import re

import numpy as np
import pytest

from captiongen.analysis.slicing.comparison import Comparison, Outcomes, compare
from captiongen.analysis.slicing.properties import Property

NUM_IMAGES = 120
IDS = [f"{i:03d}" for i in range(NUM_IMAGES)]
DOGS = Property("topic", "dogs")
IS_DOG = np.arange(NUM_IMAGES) < 40
HUMAN = np.full(NUM_IMAGES, 80.0)


def compared(challenger: np.ndarray, champion: np.ndarray, human: np.ndarray = HUMAN) -> Comparison:
    members = {DOGS: IS_DOG, Property("topic", "people"): ~IS_DOG, Property("colour", "red"): np.arange(NUM_IMAGES) < 5}
    return compare(IDS, challenger, champion, human, members, num_resamples=200, seed=0)


@pytest.fixture
def champion() -> np.ndarray:
    return np.random.default_rng(0).uniform(40, 120, NUM_IMAGES)


def test_every_image_is_fixed_broken_right_or_wrong(champion: np.ndarray):
    """The four add up to all images, and fixed and broken are named."""
    challenger = champion[::-1]
    found = compared(challenger, champion)
    assert len(found.fixed) + len(found.broken) + found.outcomes.num_unchanged == NUM_IMAGES
    assert set(found.fixed) == {IDS[i] for i in range(NUM_IMAGES) if challenger[i] >= 80 > champion[i]}
    assert set(found.broken) == {IDS[i] for i in range(NUM_IMAGES) if champion[i] >= 80 > challenger[i]}
    assert found.p_value > 0.5


def test_a_lost_slice_is_broken_though_the_mean_rises(champion: np.ndarray):
    """Dogs lose 20, the others gain 40; slices with few images are left out."""
    found = compared(champion + np.where(IS_DOG, -20.0, 40.0), champion)
    assert found.difference.low > 0
    (broken,) = found.broken_slices
    assert broken.where == DOGS
    assert broken.difference.mean == pytest.approx(-20.0)
    assert [one.where.value for one in found.slices] == ["dogs", "people"]


def test_each_slice_says_how_many_of_its_captions_were_fixed_and_broken(champion: np.ndarray):
    """Two slices that share no image and leave none out add up to the whole, outcome by outcome."""
    found = compared(champion[::-1], champion)
    dogs, people = (next(one for one in found.slices if one.where.value == name) for name in ("dogs", "people"))
    assert dogs.outcomes.num_fixed == sum(champion[119 - i] >= 80 > champion[i] for i in range(40))
    for name in ("num_fixed", "num_broken", "num_right", "num_wrong"):
        assert getattr(dogs.outcomes, name) + getattr(people.outcomes, name) == getattr(found.outcomes, name)


def test_a_comparison_can_be_said_in_a_line(champion: np.ndarray):
    """Difference with its interval, what was fixed, broken and unchanged, and the slices that were lost."""
    found = compared(champion + np.where(IS_DOG, -20.0, 40.0), champion)
    number = r"[+-]\d+\.\d"
    assert re.fullmatch(
        rf"CIDEr-D \+20\.0 \[{number}, {number}\]; {len(found.fixed)} captions fixed, {len(found.broken)} broken, "
        rf"{found.outcomes.num_unchanged} unchanged; broken slices: topic: dogs -20\.0",
        str(found),
    )
    assert str(compared(champion, champion)).endswith("0 broken, 120 unchanged; broken slices: none of 2")


def test_noise_breaks_no_slice_and_equals_are_equal(champion: np.ndarray):
    """Differences that fall either way are no loss; the same scores differ nowhere."""
    noise = np.random.default_rng(1).normal(0, 20, NUM_IMAGES)
    assert compared(champion + noise, champion).broken_slices == ()
    same = compared(champion, champion)
    assert same.fixed == same.broken == ()
    assert same.p_value == 1.0
    assert not any(one.is_broken for one in same.slices)


def test_images_whose_human_score_nobody_knows_are_neither_right_nor_wrong(champion: np.ndarray):
    """They count in the difference alone."""
    found = compared(champion + 30, champion, np.full(NUM_IMAGES, np.nan))
    assert found.fixed == found.broken == ()
    assert found.outcomes.num_unchanged == 0
    assert {one.outcomes for one in found.slices} == {Outcomes(0, 0, 0, 0)}
    assert found.difference.mean == pytest.approx(30.0)


def test_many_slices_of_equals_are_seldom_called_broken():
    """Holm's correction holds the chance of any false alarm near one in twenty over a whole comparison."""
    generator = np.random.default_rng(0)
    alarms = 0
    for _ in range(20):
        members = {Property("group", str(i)): generator.random(NUM_IMAGES) < 0.3 for i in range(40)}
        a, b = generator.normal(60, 30, (2, NUM_IMAGES))
        alarms += bool(compare(IDS, a, b, HUMAN, members, num_resamples=10, seed=0).broken_slices)
    assert alarms <= 4
