"""What may be expected of captions one by one: do they end, do they repeat, does the model know when it errs.

Where a model says how sure it is, the captions it is less sure of can be withheld: coverage is what is left, and the
curve of the score over coverage says what withholding buys (El-Yaniv & Wiener 2010, JMLR 11, "risk-coverage").
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from captiongen.metrics.calibration import Outcomes, caption_outcomes, expected_calibration_error, word_outcomes
from captiongen.metrics.interval import FloatArray
from captiongen.text.normalise import metric_tokens
from captiongen.types import CalibrationError, CaptionedImage, CoveragePoint, Hypothesis, MetricsReport, Reliability

_REPEATED_ORDERS = (2, 3, 4)
_NUM_POINTS = 20


def with_reliability(
    report: MetricsReport, images: Sequence[CaptionedImage], *, min_confidence: float
) -> MetricsReport:
    """Adds the reliability of captions to the report of their metrics.

    Args:
        report: metrics of the images' chosen captions.
        images: the same images.
        min_confidence: captions below it are doubtful.
    """
    best = [image.hypotheses[0] for image in images]
    cider_of = {score.image_id: score.cider for score in report.per_image}
    cider = np.array([cider_of[image.image_id] for image in images])
    is_given = np.array([not one.is_doubtful(min_confidence) for one in best])
    reliability = Reliability(
        truncated=sum(not one.is_complete for one in best) / len(best),
        repeating={
            f"{order}-gram": sum(repeats(one.caption, order) for one in best) / len(best) for order in _REPEATED_ORDERS
        },
        word_error=_error(word_outcomes(images)),
        caption_error=_error(caption_outcomes(images, report.per_image)),
        coverage=float(is_given.mean()),
        covered_cider=float(cider[is_given].mean()) if is_given.any() else None,
        curve=_curve(best, cider),
    )
    return replace(report, reliability=reliability)


def repeats(caption: str, order: int) -> bool:
    """Whether an n-gram of that order occurs twice in a caption."""
    tokens = metric_tokens(caption)
    ngrams = [tuple(tokens[start : start + order]) for start in range(len(tokens) - order + 1)]
    return len(set(ngrams)) < len(ngrams)


def sureness(hypothesis: Hypothesis) -> float:
    """What captions are withheld by, 0..1: the calibrated confidence, where there is one."""
    return hypothesis.mean_probability if hypothesis.confidence is None else hypothesis.confidence


def format_curve(curve: Sequence[CoveragePoint]) -> str:
    """Returns the risk-coverage curve as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["coverage", "cider", "confidence"])
    writer.writerows([point.coverage, point.cider, point.confidence] for point in curve)
    return text.getvalue()


def _curve(captions: Sequence[Hypothesis], cider: FloatArray) -> tuple[CoveragePoint, ...]:
    """Mean CIDEr of the surest captions, at twenty coverages up to all."""
    sure = np.array([sureness(one) for one in captions])
    order = np.argsort(-sure, kind="stable")
    means = cider[order].cumsum() / np.arange(1, len(order) + 1)
    counts = sorted({max(1, round(len(order) * step / _NUM_POINTS)) for step in range(1, _NUM_POINTS + 1)})
    return tuple(
        CoveragePoint(count / len(order), float(means[count - 1]), float(sure[order[count - 1]])) for count in counts
    )


def _error(outcomes: Outcomes) -> CalibrationError | None:
    if not len(outcomes.is_right):
        return None
    is_calibrated = len(outcomes.confidences) == len(outcomes.is_right)
    return CalibrationError(
        probability=expected_calibration_error(outcomes.probabilities, outcomes.is_right),
        confidence=expected_calibration_error(outcomes.confidences, outcomes.is_right) if is_calibrated else None,
    )
