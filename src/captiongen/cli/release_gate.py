"""The gate in front of `champion`: what a challenger must show on the test split before it goes into service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from captiongen.analysis.errors.fact_reader import FactReader
from captiongen.analysis.slicing.comparison import slice_changes
from captiongen.analysis.slicing.properties import text_properties
from captiongen.analysis.slicing.slices import MIN_IMAGES
from captiongen.errors import DataError
from captiongen.metrics.cider import CiderScorer
from captiongen.metrics.interval import FloatArray, paired_bootstrap
from captiongen.metrics.ngrams import tokenise_pairs
from captiongen.params import ReleaseParams
from captiongen.types import CaptionedImage, Captions, Lineage, MetricValue

_SEED = 0  # of the bootstrap: the same two models always get the same verdict
_LOSS, _OVER_FLOOR, _SLICES = "release.max_cider_loss", "release.min_cider_over_floor", "release.broken_slices"


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
        over_floor: how much better it is than the best constant caption, None where `difference` says it.
        required_over_floor: what `over_floor` must reach.
        trained_on: the challenger's data set, "" where the champion was trained on the same.
        against_trained_on: the champion's data set, "" likewise.
        broken_slices: slice -> CIDEr of the challenger less the champion's there, where that is a loss beyond chance.
        refuses_broken_slices: whether such a loss stops the challenger.
    """

    is_passed: bool
    against: str
    num_images: int
    difference: float
    low: float | None
    high: float | None
    required: float
    over_floor: float | None = None
    required_over_floor: float = 0.0
    trained_on: str = ""
    against_trained_on: str = ""
    broken_slices: Mapping[str, float] = field(default_factory=dict)
    refuses_broken_slices: bool = True

    def missed(self) -> tuple[str, ...]:
        """The settings of params.yaml whose bar was missed."""
        if self.low is None:
            return () if self.difference >= self.required else (_OVER_FLOOR,)
        names = [] if self.low > self.required else [_LOSS]
        if self.over_floor is not None and self.over_floor < self.required_over_floor:
            names.append(_OVER_FLOOR)
        if self.broken_slices and self.refuses_broken_slices:
            names.append(_SLICES)
        return tuple(names)

    def describe(self) -> str:
        """The figures in a few sentences."""
        if self.low is None:
            return f"CIDEr is {self._describe_floor(self.difference, self.required)}"
        sentences = [self._describe_comparison(self.low, self.high or 0.0)]
        if self.broken_slices:
            slices = ", ".join(f"{name} ({_signed(loss)})" for name, loss in self.broken_slices.items())
            sentences.append(f"It breaks slices of images, beyond chance: {slices} ({_SLICES}): {self._sign(_SLICES)}.")
        if self.over_floor is not None:
            sentences.append(f"It is {self._describe_floor(self.over_floor, self.required_over_floor)}")
        if self.trained_on:
            sentences.append(
                f"The champion was trained on another data set ({self.against_trained_on}, this one on "
                f"{self.trained_on}), and both captioned the test split of {self.trained_on}."
            )
        return " ".join(sentences)

    def _describe_floor(self, difference: float, required: float) -> str:
        return (
            f"{_signed(difference)} against the best constant caption on {self.num_images} images; every version needs "
            f"{_signed(required)} ({_OVER_FLOOR}): {self._sign(_OVER_FLOOR)}."
        )

    def _describe_comparison(self, low: float, high: float) -> str:
        return (
            f"CIDEr is {_signed(self.difference)} [{_signed(low)}, {_signed(high)}] against champion version "
            f"{self.against} on the same {self.num_images} images (95 % paired bootstrap); the lower end must lie "
            f"above {_signed(self.required)} ({_LOSS}): {self._sign(_LOSS)}."
        )

    def _sign(self, setting: str) -> str:
        return "missed" if setting in self.missed() else "met"


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
    *,
    cider: MetricValue,
) -> Verdict:
    """Compares two models by the captions they wrote for the same images.

    A challenger must beat the best constant caption too: with a loss allowed, a poor champion would let in a poorer
    one, and so on downwards. And it must break no slice, such as images with children, whatever it gains elsewhere.

    Args:
        champion_version: its number.
        challenger: captions of the test split.
        champion: captions of the same images.
        params: the bars.
        cider: the challenger's, with its floor.

    Raises:
        DataError: the captions are not of the same images with the same references.
    """
    references = {row.image_id: row.references for row in challenger}
    if {row.image_id: row.references for row in champion} != references:
        raise DataError(
            "Expected captions of challenger and champion for the same images with the same references; found others. "
            "Evaluate both on one split."
        )
    ours, theirs = _per_image_cider(challenger), _per_image_cider(champion)
    found = paired_bootstrap(ours, theirs, num_resamples=params.num_resamples, seed=_SEED)
    required, over_floor = -params.max_cider_loss, cider.value - cider.floor
    broken = _broken_slices(ours, theirs, dict(sorted(references.items())), params)
    refuses = params.broken_slices == "refuse"
    return Verdict(
        is_passed=found.low > required and over_floor >= params.min_cider_over_floor and not (broken and refuses),
        against=champion_version,
        num_images=len(references),
        difference=found.mean,
        low=found.low,
        high=found.high,
        required=required,
        over_floor=over_floor,
        required_over_floor=params.min_cider_over_floor,
        broken_slices=broken,
        refuses_broken_slices=refuses,
    )


def _broken_slices(
    ours: FloatArray, theirs: FloatArray, references: Captions, params: ReleaseParams
) -> dict[str, float]:
    """Slices by what people say of the images, in which we lose more than is allowed, beyond chance -> the loss."""
    if len(references) < MIN_IMAGES:
        return {}
    members = text_properties(references, FactReader())
    allowed = ours + params.max_cider_loss
    changes = slice_changes(allowed, theirs, members, num_resamples=params.num_resamples, seed=_SEED)
    return {str(one.where): round(one.difference.mean - params.max_cider_loss, 2) for one in changes if one.is_broken}


def name_data_sets(verdict: Verdict, challenger: Lineage, champion: Lineage) -> Verdict:
    """Adds what both models were trained on, where that differs."""
    if challenger.data_hash == champion.data_hash:
        return verdict
    return replace(verdict, trained_on=_data_set(challenger), against_trained_on=_data_set(champion))


def _data_set(lineage: Lineage) -> str:
    return f"{lineage.dataset} {lineage.data_hash[:8]}"


def _signed(value: float) -> str:
    text = f"{value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def _per_image_cider(captions: Sequence[CaptionedImage]) -> FloatArray:
    """Scores by image id, so that the two models' images line up whatever order they were captioned in."""
    ordered = sorted(captions, key=lambda row: row.image_id)
    hypotheses, references = tokenise_pairs(
        {row.image_id: row.hypotheses[0].caption for row in ordered}, {row.image_id: row.references for row in ordered}
    )
    return CiderScorer(references).score_all(list(hypotheses), list(hypotheses.values()))
