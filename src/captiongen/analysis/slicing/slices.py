"""Where a captioner fails: slices of a split with their scores, and the slices that are worse than chance allows.

Every property and every pair of properties of other groups with enough images is held against the rest of the split
(Welch's test of badness, one-sided); so many tests find something by chance, so the false discovery rate over all of
them is held at 5 % (Benjamini and Hochberg, 1995). A pair is reported where it is also worse than the rest of each of
its two parts: else the part says it all. This is slice discovery by predicates (as in Slice Finder, Chung et al., ICDE
2019), which gives slices names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, compress
from typing import Self

import numpy as np
import numpy.typing as npt

from captiongen.analysis.judging.ranking import JudgedCaption
from captiongen.analysis.slicing.properties import Members, Property
from captiongen.metrics.interval import FloatArray, bootstrap_interval

MIN_IMAGES = 15  # of a slice: fewer say nothing that an interval would bear out
_FALSE_DISCOVERIES = 0.05
_SIGNIFICANCE = 0.01  # of a pair against the rest of its parts
_MAX_OVERLAP = 0.7  # Jaccard index from which two slices are the same images by other names
_MAX_DISCOVERED = 12
_TESTS_AT_ONCE = 512  # bounds memory at 512 x images


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % bootstrap interval over images."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Slice:
    """The images that have some properties.

    Attributes:
        properties: one, or two of other groups.
        image_ids: of its images.
        cider: CIDEr-D, 0..1000, document frequencies of the whole split.
        human_cider: of one person against the others, None where an image has one reference.
        badness: 0..1.
        difference: mean badness of the slice less that of the rest.
        q_value: the false discovery rate at which it counts as worse than the rest, 0..1.
    """

    properties: tuple[Property, ...]
    image_ids: tuple[str, ...]
    cider: Interval
    human_cider: float | None
    badness: Interval
    difference: float
    q_value: float

    @property
    def name(self) -> str:
        """Its properties in words."""
        return " and ".join(map(str, self.properties))

    @property
    def is_worse(self) -> bool:
        """Whether it is worse than the rest beyond what so many looks would find by chance."""
        return self.difference > 0 and self.q_value < _FALSE_DISCOVERIES


@dataclass(frozen=True, slots=True)
class SliceReport:
    """Slices by single properties, in the order of their groups, and those found to be worse, the worst first."""

    singles: tuple[Slice, ...]
    worse: tuple[Slice, ...]


@dataclass(frozen=True, slots=True)
class SplitScores:
    """What is known of each image of a split, in one order.

    Attributes:
        image_ids: of the images.
        cider: (images,).
        human_cider: (images,), NaN where nobody knows.
        badness: (images,).
    """

    image_ids: Sequence[str]
    cider: FloatArray
    human_cider: FloatArray
    badness: FloatArray

    @classmethod
    def of(cls, captions: Sequence[JudgedCaption]) -> Self:
        """Reads them off judged captions."""
        people = [one.scores.human_cider for one in captions]
        return cls(
            [one.image.image_id for one in captions],
            np.array([one.scores.cider for one in captions]),
            np.array([np.nan if human is None else human for human in people]),
            np.array([one.badness for one in captions]),
        )


def find_slices(scores: SplitScores, members: Members, *, num_resamples: int, seed: int) -> SliceReport:
    """Scores every property with enough images, and looks for what is worse.

    Args:
        scores: of the split.
        members: of its images, in the same order.
        num_resamples: of the bootstrap over images.
        seed: of the bootstrap.
    """
    candidates: dict[tuple[Property, ...], npt.NDArray[np.bool_]] = {
        (one,): mask for one, mask in members.items() if has_support(mask)
    }
    for (one,), (other,) in combinations(list(candidates), 2):
        mask = members[one] & members[other]
        if one.group != other.group and has_support(mask):
            candidates[one, other] = mask
    q_values = dict(zip(candidates, _q_values(scores.badness, list(candidates.values())), strict=True))
    excess = {names: _difference(scores.badness, mask) for names, mask in candidates.items()}

    def describe(names: tuple[Property, ...]) -> Slice:
        mask = candidates[names]
        people = scores.human_cider[mask]
        return Slice(
            names,
            tuple(compress(scores.image_ids, mask)),
            _mean(scores.cider[mask], num_resamples, seed),
            None if np.isnan(people).any() else float(people.mean()),
            _mean(scores.badness[mask], num_resamples, seed),
            excess[names],
            q_values[names],
        )

    is_significant = (
        names for names in candidates if excess[names] > 0 and q_values[names] < _FALSE_DISCOVERIES
        and _adds_to_its_parts(scores.badness, candidates, names)
    )  # fmt: skip
    chosen: list[tuple[Property, ...]] = []
    for names in sorted(is_significant, key=lambda names: (-excess[names], names)):
        if all(_overlap(candidates[names], candidates[other]) < _MAX_OVERLAP for other in chosen):
            chosen.append(names)
    singles = tuple(describe(names) for names in candidates if len(names) == 1)
    return SliceReport(singles, tuple(describe(names) for names in chosen[:_MAX_DISCOVERED]))


def has_support(mask: npt.NDArray[np.bool_]) -> bool:
    """Whether a slice, and the rest without it, have enough images to be spoken of."""
    return MIN_IMAGES <= int(mask.sum()) <= len(mask) - MIN_IMAGES


def _difference(values: FloatArray, mask: npt.NDArray[np.bool_]) -> float:
    return float(values[mask].mean() - values[~mask].mean())


def _adds_to_its_parts(
    values: FloatArray, candidates: Mapping[tuple[Property, ...], npt.NDArray[np.bool_]], names: tuple[Property, ...]
) -> bool:
    """Whether a pair is worse than what is left of each of its parts without it; True of single properties."""
    if len(names) == 1:
        return True
    inside = candidates[names]
    rests = np.stack([candidates[part,] & ~inside for part in names])
    return bool((_chances_of_worse(values, np.stack([inside, inside]), rests) < _SIGNIFICANCE).all())


def _q_values(values: FloatArray, masks: Sequence[npt.NDArray[np.bool_]]) -> list[float]:
    from scipy.stats import false_discovery_control

    if not masks:
        return []
    blocks = (np.stack(masks[start : start + _TESTS_AT_ONCE]) for start in range(0, len(masks), _TESTS_AT_ONCE))
    p_values = np.concatenate([_chances_of_worse(values, inside, ~inside) for inside in blocks])
    return [float(value) for value in false_discovery_control(p_values)]


def _chances_of_worse(values: FloatArray, ours: npt.NDArray[np.bool_], theirs: npt.NDArray[np.bool_]) -> FloatArray:
    """P values of Welch's tests that our mean is not the higher one; 1 where nothing varies.

    Args:
        values: (images,).
        ours: (tests, images).
        theirs: (tests, images).
    """
    from scipy.stats import ttest_ind_from_stats

    def moments(masks: npt.NDArray[np.bool_]) -> tuple[FloatArray, FloatArray, FloatArray]:
        counts = masks.sum(axis=1)
        means = masks @ values / np.maximum(counts, 1)
        squares = (masks * (values - means[:, None]) ** 2).sum(axis=1)
        return means, np.sqrt(squares / np.maximum(counts - 1, 1)), counts

    with np.errstate(divide="ignore", invalid="ignore"):
        found = ttest_ind_from_stats(*moments(ours), *moments(theirs), equal_var=False, alternative="greater").pvalue
    # Of two equal constants there is no statistic.
    p_values: FloatArray = np.nan_to_num(found, nan=1.0)
    return p_values


def _mean(values: FloatArray, num_resamples: int, seed: int) -> Interval:
    low, high = bootstrap_interval(
        values[:, None], lambda sums: sums / len(values), num_resamples=num_resamples, seed=seed
    )
    return Interval(float(values.mean()), float(low[0]), float(high[0]))


def _overlap(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())
