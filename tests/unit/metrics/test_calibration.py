"""Probabilities held against what people wrote, and what is learnt from it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captiongen.metrics.calibration import (
    caption_outcomes,
    expected_calibration_error,
    fit_calibration,
    word_outcomes,
)
from captiongen.types import Sigmoid, log_odds
from tests.evaluated import captioned, hypothesis, scored


def test_a_word_is_right_when_one_person_says_it():
    """Content words count, in the form in which they stand; function words do not."""
    image = captioned(
        "1", hypothesis("a dog on dogs", [0.9, 0.8, 0.7, 0.6]), references=("The dog, running!", "two cats")
    )
    outcomes = word_outcomes([image])
    assert outcomes.probabilities.tolist() == [0.8, 0.6]
    assert outcomes.is_right.tolist() == [True, False]


def test_a_caption_is_right_when_it_reaches_what_people_reach():
    """Its CIDEr is held against the image's own human score; where people cannot be scored it does not count."""
    images = [captioned(name, hypothesis("a dog", 0.9)) for name in "abc"]
    outcomes = caption_outcomes(images, [scored("c", 90.0, None), scored("b", 79.0, 80.0), scored("a", 80.0, 80.0)])
    assert outcomes.is_right.tolist() == [True, False]
    assert outcomes.probabilities == pytest.approx([0.9, 0.9])


def test_the_error_is_the_distance_of_claims_from_truth():
    """Claims of 0.9 that come true half the time, and of 0.2 that never do, are 0.4 and 0.2 off."""
    probabilities, is_right = np.array([0.9, 0.9, 0.2, 0.2]), np.array([True, False, False, False])
    assert expected_calibration_error(probabilities, is_right) == pytest.approx(0.3)


@given(st.lists(st.tuples(st.floats(0.0, 1.0), st.booleans()), min_size=1))
def test_the_error_lies_between_0_and_1(claims):
    """Whatever is claimed, and however little of it comes true."""
    probabilities, is_right = np.array([p for p, _ in claims]), np.array([right for _, right in claims])
    assert 0.0 <= expected_calibration_error(probabilities, is_right) <= 1.0


def claims(sigmoid: Sigmoid, num_images: int):
    """Images with one word each, right as often as `sigmoid` says of its probability."""
    generator = np.random.default_rng(0)
    for number in range(num_images):
        probability = float(generator.uniform(0.02, 0.98))
        is_right = generator.uniform() < sigmoid(probability)
        yield captioned(str(number), hypothesis("dog", [probability]), references=("dog" if is_right else "cat",))


def test_calibration_learns_what_probabilities_are_worth():
    """From words that come true as a sigmoid says, it learns this sigmoid, and mends the error."""
    truth = Sigmoid(slope=0.5, intercept=0.8)
    images = list(claims(truth, 3000))
    outcomes = word_outcomes(images)
    learnt = fit_calibration(images, [scored(image.image_id, 1.0, None) for image in images])
    assert (learnt.word.slope, learnt.word.intercept) == pytest.approx((0.5, 0.8), abs=0.12)
    confidences = np.array([learnt.word(probability) for probability in outcomes.probabilities])
    assert expected_calibration_error(confidences, outcomes.is_right) < 0.04
    assert expected_calibration_error(outcomes.probabilities, outcomes.is_right) > 0.1
    assert learnt.caption is None


@pytest.mark.parametrize(
    "outcomes", [[(0.2, True), (0.9, True)], [(0.2, False), (0.9, False)], [(0.2, True), (0.9, False)], []]
)
def test_where_there_is_nothing_to_learn_there_is_no_calibration(outcomes):
    """All right, all wrong, the surer the worse, or no words at all: the model stays uncalibrated."""
    images = [
        captioned(str(number), hypothesis("dog", [probability]), references=("dog" if is_right else "cat",))
        for number, (probability, is_right) in enumerate(outcomes)
    ]
    assert fit_calibration(images, [scored(image.image_id, 1.0, None) for image in images]).word is None


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.01, 5.0), st.floats(-5.0, 5.0))
def test_a_sigmoid_keeps_the_order_and_stays_a_chance(one, other, slope, intercept):
    """The surer of two probabilities never becomes the less sure confidence; 0 and 1 have a confidence too."""
    sigmoid = Sigmoid(slope, intercept)
    low, high = sorted([one, other])
    assert 0.0 <= sigmoid(low) <= sigmoid(high) <= 1.0
    assert Sigmoid(1.0, 0.0)(0.3) == pytest.approx(0.3)
    assert log_odds(0.5) == 0.0
