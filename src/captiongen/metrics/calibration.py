"""How far a captioner's probabilities can be believed, and what turns them into chances of being right.

A model's probability says how likely it is to write a word, not how likely the word is to fit: where two words fit, it
gives each a half. So both are held against what people wrote:

    word      right when it occurs in one of the image's references, in the same form ("dog" is not "dogs"). Counted
              over content words, because function words occur everywhere. A true word that none of the five people
              thought of counts as wrong, so confidence is rather too low than too high.
    caption   right when its CIDEr-D is at least the mean one of the image's own people, each against the others. Its
              raw probability is the geometric mean over its words.

Sources: the sigmoid, Platt 1999 ("Probabilistic Outputs for Support Vector Machines"), over the log-odds as in
temperature scaling with a bias; the error, Guo et al. 2017 (arXiv 1706.04599).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from captiongen.metrics.interval import FloatArray
from captiongen.text.function_words import FUNCTION_WORDS
from captiongen.text.normalise import metric_tokens
from captiongen.types import Calibration, CaptionedImage, ImageScores, Sigmoid, log_odds

_NUM_BINS = 10


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Claims and what came of them, one entry each.

    Attributes:
        probabilities: of the model, (claims,).
        confidences: the same, calibrated; empty where the model is not.
        is_right: (claims,).
    """

    probabilities: FloatArray
    confidences: FloatArray
    is_right: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, claims: Iterable[tuple[float, float | None, bool]]) -> "Outcomes":
        """Gathers (probability, confidence, is right)."""
        rows = list(claims)
        confidences = [confidence for _, confidence, _ in rows if confidence is not None]
        return cls(
            np.array([probability for probability, _, _ in rows]),
            np.array(confidences),
            np.array([is_right for _, _, is_right in rows], dtype=np.bool_),
        )


def word_outcomes(images: Iterable[CaptionedImage]) -> Outcomes:
    """Holds the content words of each image's chosen caption against its references."""

    def claims(image: CaptionedImage) -> Iterable[tuple[float, float | None, bool]]:
        said_by_people = set(chain.from_iterable(metric_tokens(reference) for reference in image.references))
        for one in image.hypotheses[0].words:
            content = set(metric_tokens(one.word)) - FUNCTION_WORDS
            if content:
                yield one.probability, one.confidence, content <= said_by_people

    return Outcomes.of(chain.from_iterable(claims(image) for image in images))


def caption_outcomes(images: Iterable[CaptionedImage], scores: Iterable[ImageScores]) -> Outcomes:
    """Holds chosen captions against people's, of images with two references or more: else people cannot be scored."""
    by_id: Mapping[str, ImageScores] = {score.image_id: score for score in scores}
    return Outcomes.of(
        (image.hypotheses[0].mean_probability, image.hypotheses[0].confidence, score.cider >= score.human_cider)
        for image in images
        if (score := by_id[image.image_id]).human_cider is not None
    )


def expected_calibration_error(probabilities: FloatArray, is_right: npt.NDArray[np.bool_]) -> float:
    """Mean distance of what is claimed from what comes true, 0..1, over ten bins of equal width.

    With few claims it is never 0, also of perfect probabilities: some 0.03 with 1,000, 0.1 with 100.

    Args:
        probabilities: (claims,), at least one.
        is_right: (claims,).
    """
    bins = np.minimum((probabilities * _NUM_BINS).astype(np.int64), _NUM_BINS - 1)
    distances = np.bincount(bins, weights=probabilities - is_right, minlength=_NUM_BINS)
    return float(np.abs(distances).sum() / len(probabilities))


def fit_calibration(images: Iterable[CaptionedImage], scores: Iterable[ImageScores]) -> Calibration:
    """Learns from captions of the dev split what their probabilities are worth.

    Args:
        images: captioned by the model; never those that it is judged on afterwards.
        scores: their metrics.
    """
    images = tuple(images)
    return Calibration(word=_fit(word_outcomes(images)), caption=_fit(caption_outcomes(images, scores)))


def _fit(outcomes: Outcomes) -> Sigmoid | None:
    """None where there is nothing to learn: all right, all wrong, or the surer the less often right."""
    if len(set(outcomes.is_right.tolist())) < 2:
        return None
    from sklearn.linear_model import LogisticRegression  # takes a second to import; only training needs it

    odds = np.array([[log_odds(probability)] for probability in outcomes.probabilities])
    model = LogisticRegression().fit(odds, outcomes.is_right)
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    return Sigmoid(slope, intercept) if slope > 0.0 else None
