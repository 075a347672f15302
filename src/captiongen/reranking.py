"""The choice among the captions that a search found, by all that speaks for each."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from captiongen.decode.stepper import Decoded
from captiongen.metrics.cider import CiderScorer
from captiongen.metrics.interval import FloatArray
from captiongen.model.reranker import Reranker

_CIDER_SCALE = 0.01  # so that each kind of evidence is of the order of 1


class NbestRanking:
    """Reads n-best lists with a captioner's reranker; safe to share between threads.

    Args:
        reranker: on the CPU, with one training picture at least.
    """

    def __init__(self, reranker: Reranker) -> None:
        self._reranker = reranker
        # How frequent an n-gram is, is counted among all training captions: what is rare there tells most.
        names: dict[int, str] = {}  # one string a word: there are millions of words in the captions of a large data set
        written = {
            str(picture): [[names.setdefault(word, str(word)) for word in words] for words in of_one]
            for picture, of_one in enumerate(reranker.captions())
        }
        self._scorer = CiderScorer(written)

    def evidence(self, features: Tensor, nbest: Sequence[Decoded]) -> FloatArray:
        """Says what speaks for each caption of a list.

        Args:
            features: (C, G, G) of the captioner's encoder.
            nbest: K hypotheses of one image.

        Returns:
            (K, 3): the score of the search; the cosine of picture and caption; the CIDEr-D, /100, that the caption has
            with the captions of the most similar training pictures, a weighted mean over these.
        """
        seen, neighbours = self._reranker.look(features.cpu())
        pictures = [str(picture) for picture, _ in neighbours]
        near = np.array([weight for _, weight in neighbours])
        agreement = [near @ self._scorer.score_under(pictures, [str(word) for word in one.words]) for one in nbest]
        likeness = self._reranker.likeness(seen, [one.words for one in nbest]).double().numpy()
        return np.column_stack([[one.score for one in nbest], likeness, _CIDER_SCALE * np.array(agreement)])

    def __call__(self, features: Tensor, nbest: Sequence[Decoded]) -> list[Decoded]:
        """Orders a list by the weighted sum of the evidence, which becomes each one's score; cut captions stay last."""
        scores = self.evidence(features, nbest) @ self._reranker.weights.double().numpy()
        ranked = [replace(one, score=float(score)) for one, score in zip(nbest, scores, strict=True)]
        return sorted(ranked, key=lambda one: (not one.is_complete, -one.score))
