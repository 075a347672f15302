"""Whose fault a caption is: of the choice among the captions found, of the search, or of the model.

    choice   a caption further down the n-best list scores higher: the model had it and ranked it lower
    search   the model itself scores a person's caption higher than any that it found: a wider search might find it
    model    it likes its own caption better than any person's: only training can change that

Likes are compared with likes: both captions by the model's length-normalised log-probability, which is what a search
maximises. A reranker's evidence would be another question, who chose badly, and the choice is asked about first.
References with a word that the captioner cannot write say nothing about its search. (Search against model error as in
machine translation: Stahlberg and Byrne, EMNLP 2019.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from captiongen.analysis.inspection import ModelScores
from captiongen.metrics.cider import CiderScorer
from captiongen.metrics.interval import FloatArray, PairedDifference, paired_bootstrap
from captiongen.text.normalise import metric_tokens
from captiongen.types import CaptionedImage

# CIDEr-D by which another caption of the list must be better to blame the choice.
_CLEARLY_BETTER = 10.0


class Fault(StrEnum):
    """What a caption short of people's is blamed on."""

    CHOICE = "choice"
    SEARCH = "search"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class SearchReport:
    """Faults over a split.

    Attributes:
        faults: of each image, None where the caption is as good as people's.
        oracle: place of the best caption of each n-best list, 0 the chosen one.
        oracle_gain: CIDEr-D (0..1000) that always choosing the best of the list would bring.
    """

    faults: tuple[Fault | None, ...]
    oracle: tuple[int, ...]
    oracle_gain: PairedDifference

    def share(self, fault: Fault) -> float:
        """Share of all images blamed on it, 0..1."""
        return sum(one is fault for one in self.faults) / len(self.faults)


def find_faults(
    images: Sequence[CaptionedImage],
    model_scores: Sequence[ModelScores],
    human_cider: Sequence[float | None],
    *,
    num_resamples: int,
    seed: int,
) -> SearchReport:
    """Blames every caption that falls short.

    Args:
        images: of a whole split.
        model_scores: of their captions, in the same order.
        human_cider: people's own, None where nobody knows: such captions are blamed where something better is found.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    scorer = CiderScorer({one.image_id: [metric_tokens(text) for text in one.references] for one in images})
    lists = [
        np.array([scorer.score(one.image_id, metric_tokens(each.caption)) for each in one.hypotheses])
        for one in images
    ]  # fmt: skip
    faults = tuple(
        _blame(scores, by_model, human)
        for scores, by_model, human in zip(lists, model_scores, human_cider, strict=True)
    )
    chosen = np.array([scores[0] for scores in lists])
    best = np.array([scores.max() for scores in lists])
    gain = paired_bootstrap(best, chosen, num_resamples=num_resamples, seed=seed)
    return SearchReport(faults, tuple(int(scores.argmax()) for scores in lists), gain)


def _blame(scores: FloatArray, by_model: ModelScores, human: float | None) -> Fault | None:
    if human is not None and scores[0] >= human:
        return None
    if scores.max() >= scores[0] + _CLEARLY_BETTER:
        return Fault.CHOICE
    # Not the chosen caption's: a consensus or a reranker may prefer one that the search ranked lower. NaN is never
    # greater.
    if any(score > max(by_model.hypotheses) for score in by_model.references):
        return Fault.SEARCH
    return Fault.MODEL
