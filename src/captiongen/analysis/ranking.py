"""Which captions are worst: badness, from 0 (nothing to complain of) to 1.

A low CIDEr alone mostly marks images that people describe differently, since human CIDEr runs from 27 (10th percentile)
to 151 (90th) over the images of Flickr8k. So a caption is held against the image's own human score:

    badness = 0.60 shortfall + 0.15 doubt + 0.15 repetition + 0.10 truncation

    shortfall   max(0, human - cider) / (human + 25): what is missing to how well one person predicts the others here;
                the 25 damps it where people hardly agree, because the score then says little
    doubt       1 - the geometric mean of the model's own probabilities, the end of the caption included if it came
    repetition  share of the caption's word pairs that it has said before
    truncation  1 when the search stopped at the length limit, else 0

Each part lies in 0..1 and badness never falls when one of them grows, nor when CIDEr falls.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from captiongen.errors import DataError
from captiongen.types import CaptionedImage, Hypothesis, ImageScores

#: How much each part weighs in badness; they sum to 1.
BADNESS_WEIGHTS = {"shortfall": 0.60, "doubt": 0.15, "repetition": 0.15, "truncation": 0.10}
# CIDEr at which people's agreement counts half; about the 10th percentile of human scores.
_DAMPING = 25.0
# CIDEr expected of an image with one reference, whose human score nobody can know: the scale's own "about human".
_ASSUMED_HUMAN_CIDER = 100.0


@dataclass(frozen=True, slots=True)
class RankedCaption:
    """A caption with its place among all of the split.

    Attributes:
        image: what the model and people said.
        scores: its metrics.
        badness: 0..1, the worst caption has the highest.
        shortfall: 0..1, against people's score on this image.
        doubt: 0..1, of the model itself.
        repetition: 0..1, share of word pairs said before.
        is_truncated: the caption stopped at the length limit.
    """

    image: CaptionedImage
    scores: ImageScores
    badness: float
    shortfall: float
    doubt: float
    repetition: float
    is_truncated: bool


def rank_captions(images: Sequence[CaptionedImage], scores: Sequence[ImageScores]) -> tuple[RankedCaption, ...]:
    """Orders captions by badness, worst first; equal ones by image id.

    Raises:
        DataError: the two are not of the same images.
    """
    by_id = {score.image_id: score for score in scores}
    if len(images) != len(scores) or by_id.keys() != {image.image_id for image in images}:
        raise DataError(
            f"Expected metrics of exactly the {len(images)} captioned images, found {len(scores)} images with metrics "
            "and not the same ones. Run `dvc repro evaluate`."
        )
    ranked = [_judge(image, by_id[image.image_id]) for image in images]
    return tuple(sorted(ranked, key=lambda one: (-one.badness, one.image.image_id)))


def shortfall(cider: float, human_cider: float | None) -> float:
    """What a caption lacks to people's score on the image, 0..1; None stands for an unknown human score."""
    human = _ASSUMED_HUMAN_CIDER if human_cider is None else human_cider
    return max(0.0, human - cider) / (human + _DAMPING)


def doubt(hypothesis: Hypothesis) -> float:
    """One minus the geometric mean probability of the caption's words and, where it was reached, of its end, 0..1."""
    return 1.0 - hypothesis.mean_probability


def repetition(caption: str) -> float:
    """Share of the caption's word pairs that stand earlier in it, 0..1."""
    pairs = list(pairwise(caption.split()))
    return 1.0 - len(set(pairs)) / len(pairs) if pairs else 0.0


def _judge(image: CaptionedImage, scores: ImageScores) -> RankedCaption:
    best = image.hypotheses[0]
    parts = {
        "shortfall": shortfall(scores.cider, scores.human_cider),
        "doubt": doubt(best),
        "repetition": repetition(best.caption),
        "truncation": float(not best.is_complete),
    }
    badness = sum(weight * parts[name] for name, weight in BADNESS_WEIGHTS.items())
    return RankedCaption(
        image=image,
        scores=scores,
        badness=badness,
        shortfall=parts["shortfall"],
        doubt=parts["doubt"],
        repetition=parts["repetition"],
        is_truncated=not best.is_complete,
    )
