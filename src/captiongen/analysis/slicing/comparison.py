"""Champion against challenger on the same images: what was mended, what was broken, and where.

A caption is right when its CIDEr-D is at least what people score on the image, each against the others, as in
`captiongen.metrics.calibration`. Counts of fixed and broken captions are compared by McNemar's exact test; slices by
the paired difference of CIDEr-D, tested by flipping the signs of differences at random (Fisher's randomisation test)
and corrected over all slices (Holm, 1979): of twenty comparisons of equals one at most calls a slice broken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np
import numpy.typing as npt

from captiongen.analysis.slicing.properties import Members, Property
from captiongen.analysis.slicing.slices import has_support
from captiongen.metrics.interval import FloatArray, PairedDifference, paired_bootstrap

_SIGNIFICANCE = 0.05
_NUM_FLIPS = 20_000  # smallest p value 5e-5: enough for hundreds of slices after correction
_FLIPS_PER_CHUNK = 1_000  # bounds memory at 1,000 x images


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How many captions became right or wrong; those of images whose human score nobody knows are in none of these.

    Attributes:
        num_fixed: that the champion got wrong and the challenger right.
        num_broken: the other way round.
        num_right: that both got right.
        num_wrong: that both got wrong.
    """

    num_fixed: int
    num_broken: int
    num_right: int
    num_wrong: int

    @property
    def num_unchanged(self) -> int:
        """Right or wrong, in both."""
        return self.num_right + self.num_wrong


@dataclass(frozen=True, slots=True)
class SliceChange:
    """What became of a slice.

    Attributes:
        where: the property that its images have.
        num_images: of the slice.
        difference: CIDEr-D of the challenger less the champion's, with its 95 % interval.
        p_value: that equals would differ so far for the worse, corrected over all slices, 0..1.
        outcomes: of its captions; None where nobody said what people score.
    """

    where: Property
    num_images: int
    difference: PairedDifference
    p_value: float
    outcomes: Outcomes | None = None

    @property
    def is_broken(self) -> bool:
        """Whether it is worse beyond chance."""
        return self.difference.mean < 0 and self.p_value < _SIGNIFICANCE


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same images.

    Attributes:
        fixed: image ids that the champion got wrong and the challenger right.
        broken: the other way round.
        outcomes: how many of these there are, and how many that neither changed.
        p_value: that equals would differ so far in fixed and broken, either way (McNemar), 0..1.
        difference: CIDEr-D of the challenger less the champion's.
        slices: every slice with enough images, the one that lost most first.
    """

    fixed: tuple[str, ...]
    broken: tuple[str, ...]
    outcomes: Outcomes
    p_value: float
    difference: PairedDifference
    slices: tuple[SliceChange, ...]

    def __str__(self) -> str:
        """Says it in a line."""
        broken = ", ".join(f"{one.where} {one.difference.mean:+.1f}" for one in self.broken_slices)
        gain = self.difference
        return (
            f"CIDEr-D {gain.mean:+.1f} [{gain.low:+.1f}, {gain.high:+.1f}]; {len(self.fixed):,} captions fixed, "
            f"{len(self.broken):,} broken, {self.outcomes.num_unchanged:,} unchanged; broken slices: "
            + (broken or f"none of {len(self.slices)}")
        )

    @property
    def broken_slices(self) -> tuple[SliceChange, ...]:
        """Slices that are worse beyond chance."""
        return tuple(one for one in self.slices if one.is_broken)


def compare(
    image_ids: Sequence[str],
    challenger: FloatArray,
    champion: FloatArray,
    human: FloatArray,
    members: Members,
    *,
    num_resamples: int,
    seed: int,
) -> Comparison:
    """Compares two models by the CIDEr-D of their captions of the same images in the same order.

    Args:
        image_ids: of the images.
        challenger: its scores, (images,), 0..1000.
        champion: its scores.
        human: people's on each image, NaN where nobody knows: such captions are neither right nor wrong.
        members: slices of these images.
        num_resamples: of the bootstrap.
        seed: of the bootstrap and of the flips.
    """
    from scipy.stats import binomtest

    is_right, was_right = challenger >= human, champion >= human  # never, where the human score is NaN
    outcomes = _outcomes(challenger, champion, human)
    num_changed = outcomes.num_fixed + outcomes.num_broken
    changes = slice_changes(challenger, champion, members, num_resamples=num_resamples, seed=seed)
    of_slice = {name: _outcomes(challenger[mask], champion[mask], human[mask]) for name, mask in members.items()}
    return Comparison(
        fixed=tuple(compress(image_ids, is_right & ~was_right)),
        broken=tuple(compress(image_ids, was_right & ~is_right)),
        outcomes=outcomes,
        p_value=float(binomtest(outcomes.num_fixed, num_changed).pvalue) if num_changed else 1.0,
        difference=paired_bootstrap(challenger, champion, num_resamples=num_resamples, seed=seed),
        slices=tuple(replace(one, outcomes=of_slice[one.where]) for one in changes),
    )


def _outcomes(challenger: FloatArray, champion: FloatArray, human: FloatArray) -> Outcomes:
    is_known = ~np.isnan(human)
    is_right, was_right = challenger >= human, champion >= human
    return Outcomes(
        num_fixed=int((is_right & ~was_right).sum()),
        num_broken=int((was_right & ~is_right).sum()),
        num_right=int((is_right & was_right).sum()),
        num_wrong=int((is_known & ~is_right & ~was_right).sum()),
    )


def slice_changes(
    challenger: FloatArray, champion: FloatArray, members: Members, *, num_resamples: int, seed: int
) -> tuple[SliceChange, ...]:
    """Compares two models on every slice with enough images; arguments as of `compare`.

    Returns:
        The slices, the one that lost most first.
    """
    slices = {name: mask for name, mask in members.items() if has_support(mask)}
    p_values = _holm(_chances_of_loss(challenger - champion, slices, seed))
    changes = [
        SliceChange(
            name,
            int(mask.sum()),
            paired_bootstrap(challenger[mask], champion[mask], num_resamples=num_resamples, seed=seed),
            p_value,
        )
        for (name, mask), p_value in zip(slices.items(), p_values, strict=True)
    ]
    return tuple(sorted(changes, key=lambda one: (one.difference.mean, one.where)))


def _chances_of_loss(
    differences: FloatArray, slices: Mapping[Property, npt.NDArray[np.bool_]], seed: int
) -> FloatArray:
    """How often random signs of the same differences lose as much as was lost, for each slice."""
    if not slices:
        return np.empty(0)
    generator = np.random.default_rng(seed)
    weighted = np.stack(list(slices.values()), axis=1) * differences[:, None]  # (images, slices)
    lost = weighted.sum(axis=0)
    as_bad = np.ones(len(slices))
    for _ in range(_NUM_FLIPS // _FLIPS_PER_CHUNK):
        signs = generator.choice((-1.0, 1.0), size=(_FLIPS_PER_CHUNK, len(differences)))
        as_bad += (signs @ weighted <= lost + 1e-9).sum(axis=0)
    return as_bad / (_NUM_FLIPS + 1)


def _holm(p_values: FloatArray) -> list[float]:
    """Holm's step-down correction: the smallest p value times their number, the next times one less ..."""
    order = np.argsort(p_values)
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in corrected]
