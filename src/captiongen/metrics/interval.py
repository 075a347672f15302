"""How sure a metric is: the bootstrap over images (Efron, 1979; for BLEU, Koehn, EMNLP 2004).

A corpus metric is a function of statistics summed over images, so a resample is a weighted sum of the images'
statistics and is exact: corpus BLEU is resampled as corpus BLEU. CIDEr's document frequencies stay those of the whole
set.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from captiongen.errors import DataError

FloatArray = npt.NDArray[np.float64]

_PERCENTILES = (2.5, 97.5)
_RESAMPLES_PER_CHUNK = 64  # bounds memory at 64 x images


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """How much better `a` is than `b` on the same images, with its 95 % bootstrap interval.

    Attributes:
        mean: mean over images of a - b.
        low: lower end.
        high: upper end.
    """

    mean: float
    low: float
    high: float


def bootstrap_interval(
    statistics: FloatArray, metric: Callable[[FloatArray], FloatArray], *, num_resamples: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Returns lower and upper end of the 95 % percentile interval of a corpus metric.

    Args:
        statistics: what each image adds, shape (images, statistics).
        metric: summed statistics (resamples, statistics) -> values (resamples, values), such as
            `bleu_from_statistics`; for a mean over images, the sums divided by the number of images.
        num_resamples: sets drawn with replacement, each as large as the original.
        seed: the same seed draws the same images for every metric.

    Returns:
        Two arrays of shape (values,).
    """
    sums = [weights @ statistics for weights in _resample(len(statistics), num_resamples, seed)]
    low, high = np.percentile(metric(np.concatenate(sums)), _PERCENTILES, axis=0)
    return low, high


def paired_bootstrap(a: npt.ArrayLike, b: npt.ArrayLike, *, num_resamples: int, seed: int) -> PairedDifference:
    """Compares two systems by their per-image values on the same images in the same order.

    Args:
        a: values of the candidate, shape (images,).
        b: values of what it is compared with, shape (images,).
        num_resamples: resamples of the images.
        seed: of the resampling.

    Raises:
        DataError: the two differ in length or are empty: they are not of the same images.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise DataError(
            f"A paired comparison needs one value per image of the same images, found shapes {first.shape} and "
            f"{second.shape}. Score both systems on the same split."
        )
    differences = first - second
    means = np.concatenate([w @ differences for w in _resample(len(differences), num_resamples, seed)]) / len(
        differences
    )
    low, high = np.percentile(means, _PERCENTILES)
    return PairedDifference(float(differences.mean()), float(low), float(high))


def _resample(num_images: int, num_resamples: int, seed: int) -> Iterator[FloatArray]:
    """Yields how often each image is drawn, in chunks of shape (resamples, images)."""
    generator = np.random.default_rng(seed)
    for start in range(0, num_resamples, _RESAMPLES_PER_CHUNK):
        size = min(_RESAMPLES_PER_CHUNK, num_resamples - start)
        rows = np.arange(size)[:, None] * num_images
        drawn = generator.integers(num_images, size=(size, num_images)) + rows
        yield np.bincount(drawn.ravel(), minlength=size * num_images).reshape(size, num_images).astype(np.float64)
