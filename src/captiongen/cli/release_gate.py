"""The gate in front of `champion`: what a challenger must show on the test split before it goes into service."""

from collections.abc import Sequence
from dataclasses import dataclass

from captiongen.errors import DataError
from captiongen.metrics.cider import CiderScorer
from captiongen.metrics.interval import FloatArray, paired_bootstrap
from captiongen.metrics.ngrams import tokenise_pairs
from captiongen.params import ReleaseParams
from captiongen.types import CaptionedImage, MetricValue

_SEED = 0  # of the bootstrap: the same two models always get the same verdict


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says of a challenger, in CIDEr (0..1000).

    Attributes:
        is_passed: whether it may become champion.
        against: version of the champion it was compared with, "" where there was none.
        num_images: of the test split.
        difference: how much better it is than the champion, or than the best constant caption where there is none.
        low: lower end of the 95 % interval of the difference, None without a champion.
        high: upper end.
        required: what the difference, or `low` where there is one, must exceed (equal is enough without a champion).
    """

    is_passed: bool
    against: str
    num_images: int
    difference: float
    low: float | None
    high: float | None
    required: float

    def describe(self) -> str:
        """The figures in one sentence."""
        sign = "met" if self.is_passed else "missed"
        if self.low is None:
            return (
                f"CIDEr is {self.difference:+.1f} against the best constant caption on {self.num_images} images; "
                f"a first champion needs {self.required:+.1f}: {sign}."
            )
        return (
            f"CIDEr is {self.difference:+.1f} [{self.low:+.1f}, {self.high:+.1f}] against champion version "
            f"{self.against} on the same {self.num_images} images (95 % paired bootstrap); the lower end must lie "
            f"above {self.required:+.1f}: {sign}."
        )


def judge_first(cider: MetricValue, num_images: int, params: ReleaseParams) -> Verdict:
    """Judges a model while there is no champion: it must beat the best constant caption clearly."""
    difference = cider.value - cider.floor
    return Verdict(
        is_passed=difference >= params.min_cider_over_floor,
        against="",
        num_images=num_images,
        difference=difference,
        low=None,
        high=None,
        required=params.min_cider_over_floor,
    )


def judge_against(
    champion_version: str,
    challenger: Sequence[CaptionedImage],
    champion: Sequence[CaptionedImage],
    params: ReleaseParams,
) -> Verdict:
    """Compares two models by the captions they wrote for the same images.

    Raises:
        DataError: the captions are not of the same images with the same references.
    """
    references = {row.image_id: row.references for row in challenger}
    if {row.image_id: row.references for row in champion} != references:
        raise DataError(
            "Expected captions of challenger and champion for the same images with the same references; found others. "
            "Evaluate both on one split."
        )
    found = paired_bootstrap(
        _per_image_cider(challenger), _per_image_cider(champion), num_resamples=params.num_resamples, seed=_SEED
    )
    required = -params.max_cider_loss
    return Verdict(
        is_passed=found.low > required,
        against=champion_version,
        num_images=len(references),
        difference=found.mean,
        low=found.low,
        high=found.high,
        required=required,
    )


def _per_image_cider(captions: Sequence[CaptionedImage]) -> FloatArray:
    """Scores by image id, so that the two models' images line up whatever order they were captioned in."""
    ordered = sorted(captions, key=lambda row: row.image_id)
    hypotheses, references = tokenise_pairs(
        {row.image_id: row.hypotheses[0].caption for row in ordered}, {row.image_id: row.references for row in ordered}
    )
    return CiderScorer(references).score_all(list(hypotheses), list(hypotheses.values()))
