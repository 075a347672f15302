"""What a report says of captions one by one."""

import csv
import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captiongen.metrics.reliability import format_curve, repeats, with_reliability
from captiongen.metrics.report import flat_metrics, format_report, score_captions
from captiongen.types import CaptionedImage
from tests.evaluated import captioned, hypothesis

IMAGES = [
    captioned("1", hypothesis("a red dog runs", 0.9), references=("a red dog runs", "the red dog is fast")),
    captioned("2", hypothesis("a boy jumps a boy jumps", 0.6), references=("a boy jumps", "the boy is high up")),
    captioned("3", hypothesis("the cat of the", 0.4, is_complete=False), references=("the cat sits", "one grey cat")),
    captioned("4", hypothesis("a blue bird", 0.2), references=("two men talk", "men in the street")),
]


def assess(images: list[CaptionedImage], *, min_confidence: float = 0.0):
    report = score_captions(
        {image.image_id: image.hypotheses[0].caption for image in images},
        {image.image_id: image.references for image in images},
        decoding="beam3",
        split_hash="a" * 64,
        num_resamples=10,
        seed=0,
    )
    return with_reliability(report, images, min_confidence=min_confidence)


def confident(image: CaptionedImage, confidence: float) -> CaptionedImage:
    return replace(image, hypotheses=(replace(image.hypotheses[0], confidence=confidence),))


def test_cut_and_repeating_captions_are_counted():
    """One of four is cut mid-sentence; one says word pairs and triples twice, none four words."""
    found = assess(IMAGES).reliability
    assert found.truncated == 0.25
    assert found.repeating == {"2-gram": 0.25, "3-gram": 0.25, "4-gram": 0.0}


@given(st.lists(st.sampled_from("abc"), max_size=8), st.integers(1, 4))
def test_a_caption_repeats_when_an_ngram_comes_twice(words, order):
    """As the definition says, of every pair of positions."""
    ngrams = [words[start : start + order] for start in range(len(words) - order + 1)]
    assert repeats(" ".join(words), order) == any(one in ngrams[:place] for place, one in enumerate(ngrams))


def test_the_curve_goes_from_the_surest_caption_to_all():
    """Each point holds the mean score of the captions at least as sure; the last is the score of all."""
    report = assess(IMAGES)
    cider = [score.cider for score in report.per_image]
    assert len(set(cider)) == 4
    assert [point.coverage for point in report.reliability.curve] == [0.25, 0.5, 0.75, 1.0]
    assert [point.cider for point in report.reliability.curve] == pytest.approx(
        [sum(cider[:count]) / count for count in (1, 2, 3, 4)]
    )
    rows = list(csv.DictReader(io.StringIO(format_curve(report.reliability.curve))))
    assert [float(row["cider"]) for row in rows] == [point.cider for point in report.reliability.curve]


def test_doubtful_captions_are_left_out_of_what_is_covered():
    """With a limit at a point of the curve, what is given is what the point says; uncalibrated captions all are."""
    images = [confident(image, confidence) for image, confidence in zip(IMAGES, (0.5, 0.1, 0.3, 0.2), strict=True)]
    point = assess(images).reliability.curve[1]
    found = assess(images, min_confidence=point.confidence).reliability
    assert (found.coverage, found.covered_cider) == (point.coverage, pytest.approx(point.cider)) == (0.5, point.cider)
    assert assess(images, min_confidence=0.9).reliability.covered_cider is None
    assert assess(IMAGES, min_confidence=0.9).reliability.coverage == 1.0


def test_calibration_errors_tell_probabilities_from_confidences():
    """Words and captions are off as the model has them, and right when every confidence is the truth."""
    found = assess(IMAGES).reliability
    assert found.word_error.probability > 0.0
    assert (found.word_error.confidence, found.caption_error.confidence) == (None, None)
    reaches = {score.image_id: score.cider >= score.human_cider for score in assess(IMAGES).per_image}
    assert set(reaches.values()) == {True, False}
    told = [confident(image, float(reaches[image.image_id])) for image in IMAGES]
    assert assess(told).reliability.caption_error.confidence == 0.0


def test_tables_and_trackers_get_the_numbers():
    """The printed table and the flat metrics carry rates, errors and what the limit covers."""
    images = [confident(image, confidence) for image, confidence in zip(IMAGES, (0.5, 0.1, 0.3, 0.2), strict=True)]
    report = assess(images, min_confidence=0.25)
    text = format_report(report)
    assert "cut mid-sentence 25.0%; repeating a 2-gram 25.0%, 3-gram 25.0%, 4-gram 0.0%" in text
    assert f"calibration error of words: {report.reliability.word_error.probability:.3f}" in text
    assert "not doubtful 50.0%" in text
    numbers = flat_metrics(report)
    assert numbers["cider"] == report.metrics["cider"].value
    assert (numbers["truncated"], numbers["repeating_2-gram"], numbers["coverage"]) == (0.25, 0.25, 0.5)
    assert "word_ece_confidence" not in numbers
    assert "meteor" not in numbers
