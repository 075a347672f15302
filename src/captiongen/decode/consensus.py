"""Minimum-Bayes-risk choice: of an n-best list, the caption that has most in common with all that might be right.

Source: Kumar & Byrne 2004 (HLT-NAACL, "Minimum Bayes-Risk Decoding for Statistical Machine Translation"); what it mends
of a search for the likeliest, Eikema & Aziz 2020 (arXiv 2005.10283); for captions, where the candidates were those of
nearest neighbours, Devlin et al. 2015 (arXiv 1505.04467). Here candidates and evidence are both the beams.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from captiongen.decode.stepper import Decoded

#: How alike captions are, as tokens without the end token: n captions -> (n, n), hypotheses in rows.
Similarity = Callable[[Sequence[Sequence[int]]], npt.NDArray[np.float64]]


def by_consensus(nbest: Sequence[Decoded], similarity: Similarity, *, temperature: float) -> list[Decoded]:
    """Orders an n-best list by expected similarity to the list, complete captions still before cut ones.

    The expectation is over the list itself, each caption with the weight softmax(score / temperature). Captions that
    are equally similar keep their order.

    Args:
        nbest: hypotheses of one image.
        similarity: what the captions may hope to have in common with a right one.
        temperature: below 1 trusts the likeliest more; far below, it decides alone.
    """
    scores = np.array([one.score for one in nbest]) / temperature
    weights = np.exp(scores - scores.max())
    alike = similarity([one.words for one in nbest])
    gains = alike @ (weights / weights.sum())
    places = sorted(range(len(nbest)), key=lambda place: (not nbest[place].is_complete, -gains[place]))
    return [nbest[place] for place in places]
