"""The bootstrap over images."""

import numpy as np
import numpy.typing as npt
import pytest

from captiongen.errors import DataError
from captiongen.metrics.bleu import BleuReferences, bleu_from_statistics, bleu_statistics
from captiongen.metrics.interval import bootstrap_interval, paired_bootstrap


def _interval_of_mean(values: npt.NDArray[np.float64], *, num_resamples: int, seed: int) -> tuple[float, float]:
    low, high = bootstrap_interval(
        values[:, None], lambda sums: sums / len(values), num_resamples=num_resamples, seed=seed
    )
    return float(low[0]), float(high[0])


def test_the_interval_of_a_mean_is_the_normal_one():
    """For many images the 95 % interval is near the mean plus and minus 1.96 standard errors."""
    values = np.random.default_rng(0).normal(50, 10, size=2000)
    low, high = _interval_of_mean(values, num_resamples=4000, seed=1)
    standard_error = values.std() / np.sqrt(len(values))
    assert (low, high) == pytest.approx(
        (values.mean() - 1.96 * standard_error, values.mean() + 1.96 * standard_error), abs=0.1
    )


def test_the_interval_covers_the_truth_19_times_in_20():
    """Intervals from fresh samples hold the true mean in about 95 of 100 cases."""
    generator = np.random.default_rng(7)
    covered = 0
    for repeat in range(400):
        low, high = _interval_of_mean(generator.exponential(1.0, 200), num_resamples=300, seed=repeat)
        covered += low <= 1.0 <= high
    assert 0.90 <= covered / 400 <= 0.98


def test_corpus_bleu_is_resampled_as_corpus_bleu():
    """A resample's BLEU is the corpus BLEU of the drawn images, drawn again by hand from the same seed."""
    words = np.array(["a", "dog", "cat", "runs", "sits"])
    generator = np.random.default_rng(3)
    images = [(list(generator.choice(words, 6)), [list(generator.choice(words, 6))]) for _ in range(20)]
    statistics = np.array([bleu_statistics(hypothesis, BleuReferences.of(others)) for hypothesis, others in images])
    low, high = bootstrap_interval(statistics, bleu_from_statistics, num_resamples=50, seed=5)
    drawn = np.random.default_rng(5).integers(20, size=(50, 20))
    by_hand = np.array([bleu_from_statistics(statistics[rows].sum(axis=0)) for rows in drawn])
    np.testing.assert_allclose([low, high], np.percentile(by_hand, [2.5, 97.5], axis=0), atol=1e-9)


def test_the_seed_decides():
    """The same seed gives the same interval, another seed another one."""
    values = np.arange(30.0)
    intervals = [_interval_of_mean(values, num_resamples=200, seed=seed) for seed in (1, 1, 2)]
    assert intervals[0] == intervals[1] != intervals[2]


def test_pairing_finds_a_small_but_steady_gain():
    """A gain far below the spread over images is certain when it is there on every image."""
    baseline = np.random.default_rng(0).normal(60, 40, size=300)
    difference = paired_bootstrap(baseline + 1.0, baseline, num_resamples=500, seed=0)
    assert (difference.mean, difference.low, difference.high) == pytest.approx((1.0, 1.0, 1.0))


def test_equal_systems_do_not_differ():
    """A system against itself differs by nothing, and surely so."""
    difference = paired_bootstrap([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], num_resamples=100, seed=0)
    assert (difference.mean, difference.low, difference.high) == (0, 0, 0)


@pytest.mark.parametrize(("a", "b"), [([1.0], [1.0, 2.0]), ([], [])])
def test_unpaired_values_are_refused(a: list[float], b: list[float]):
    """Values of different images cannot be compared in pairs."""
    with pytest.raises(DataError, match="same images"):
        paired_bootstrap(a, b, num_resamples=100, seed=0)
