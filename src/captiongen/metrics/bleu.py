"""Corpus BLEU-1..4 as coco-caption computes it (Papineni et al., ACL 2002), from statistics that add up over images.

Why not torchmetrics' BLEUScore: where two references are equally near in length it takes the one listed first,
coco-caption the shorter one, so with five references per image its score depends on their order. It also returns 0 when
any order has no match, keeps float32 sums, and cannot be resampled. With references sorted by length, double precision
and a match in every order the two agree, which the golden test holds on the same captions.

Mean sentence BLEU is not corpus BLEU: never average these values over chunks, add the statistics.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from captiongen.metrics.ngrams import MAX_ORDER, Ngram, Tokens, count_ngrams

# coco-caption's guards against division by zero; part of the definition where a count is 0.
_SMALL, _TINY = 1e-9, 1e-15


@dataclass(frozen=True, slots=True)
class BleuReferences:
    """What BLEU has to know of an image's references: the largest count of each n-gram in any one, and the lengths."""

    largest_counts: Mapping[Ngram, int]
    lengths: Sequence[int]

    @classmethod
    def of(cls, references: Sequence[Tokens]) -> "BleuReferences":
        """Counts an image's references, at least one."""
        largest: dict[Ngram, int] = {}
        for reference in references:
            for ngram, count in count_ngrams(reference).items():
                if count > largest.get(ngram, 0):
                    largest[ngram] = count
        return cls(largest, [len(reference) for reference in references])


def bleu_statistics(hypothesis: Tokens, references: BleuReferences) -> npt.NDArray[np.float64]:
    """Returns what one image adds to corpus BLEU, shape (2 * MAX_ORDER + 2,).

    These are the matches of orders 1..4, the n-grams of orders 1..4, and the lengths of hypothesis and reference.
    Matches are clipped by the largest count in any one reference; the reference length is the one closest to the
    hypothesis', the shorter one of two equally close.
    """
    matches = [0] * MAX_ORDER
    for ngram, count in count_ngrams(hypothesis).items():
        matches[len(ngram) - 1] += min(count, references.largest_counts.get(ngram, 0))
    length = len(hypothesis)
    totals = [max(0, length - order) for order in range(MAX_ORDER)]
    closest = min((abs(other - length), other) for other in references.lengths)[1]
    return np.array([*matches, *totals, length, closest], dtype=np.float64)


def bleu_from_statistics(statistics: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Computes BLEU-1..4 (0..100) of summed statistics, shape (..., 2 * MAX_ORDER + 2) -> (..., 4).

    Rows of single images give coco-caption's smoothed per-image BLEU.
    """
    matches, totals = statistics[..., :MAX_ORDER], statistics[..., MAX_ORDER : 2 * MAX_ORDER]
    precisions = (matches + _TINY) / (totals + _SMALL)
    geometric_means = np.cumprod(precisions, axis=-1) ** (1.0 / np.arange(1, MAX_ORDER + 1))
    ratio = (statistics[..., -2:-1] + _TINY) / (statistics[..., -1:] + _SMALL)
    brevity_penalty = np.exp(np.minimum(0.0, 1.0 - 1.0 / ratio))
    bleu: npt.NDArray[np.float64] = 100.0 * geometric_means * brevity_penalty
    return bleu
