"""Captions of the data that are wrong, found by what a captioner and the image's other captions make of them.

Confident learning (Northcutt et al. 2021, arXiv 1911.00068) asks a model that has not seen a label how likely it finds
it, and compares with what it makes of labels of each class. Captions have no classes, and the captioner at hand has
learned the very captions in question. So the comparison is with errors planted on purpose: captions of the same images,
swapped, cut and shuffled, which tell what each kind of error looks like to this captioner. A logistic regression on the
evidence (see `captiongen.analysis.labels.caption_evidence`) separates them from the captions as they are. It is fitted
again without those that look planted, since they do not show what a right caption looks like; and how frequent each
kind is follows from the captions themselves (Saerens et al. 2002, Neural Computation 14).
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from enum import StrEnum

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from captiongen.analysis.labels.caption_evidence import Candidate, CaptionEvidence, FloatArray
from captiongen.text.normalise import normalise_caption


class LabelError(StrEnum):
    """What is wrong with a caption."""

    EMPTY = "empty"
    DUPLICATE = "duplicate"
    SWAPPED = "swapped"
    TRUNCATED = "truncated"
    DISORDERED = "disordered"
    UNLIKELY = "unlikely"


#: Kinds that are told apart by evidence, and that are planted to learn what they look like.
PLANTED = (LabelError.SWAPPED, LabelError.TRUNCATED, LabelError.DISORDERED)
_MIN_PLANTED_WORDS = 5  # of a shorter caption too little is left to tell what was done to it
_MIN_LEFT_WORDS = 3
_ROUNDS = 2  # of fitting again without the captions that look planted
_NUM_MAXIMISATIONS = 50
# No kind is taken for rarer: estimated at nothing, it would never be suspected, however clear a case.
_MIN_FREQUENCY = 0.001
_RIGHT = "right"
_BALANCED = np.full(1 + len(PLANTED), 1 / (1 + len(PLANTED)))


def plant(captions: Sequence[Sequence[str]], kind: LabelError, *, num_planted: int, seed: int) -> list[Candidate]:
    """Makes captions wrong: what would stand in the place of a right one, for images and places drawn at random.

    Args:
        captions: of each image.
        kind: one of `PLANTED`. swapped: a caption of another image. truncated: the first words, three at least and four
            fifths at most. disordered: the same words in another order.
        num_planted: at most; captions of fewer than five words are left alone.
        seed: of what is drawn.
    """
    rng = random.Random(f"{kind} {seed}")  # noqa: S311 - no secret
    places = [
        (image, place, words)
        for image, texts in enumerate(captions)
        for place, text in enumerate(texts)
        if len(words := normalise_caption(text).split()) >= _MIN_PLANTED_WORDS
    ]
    drawn = rng.sample(places, min(num_planted, len(places)))
    found = []
    for (image, place, words), (other, _, others) in zip(drawn, drawn[1:] + drawn[:1], strict=True):
        changed = words
        match kind:
            case LabelError.SWAPPED:
                changed = words if other == image else others
            case LabelError.TRUNCATED:
                changed = words[: rng.randint(_MIN_LEFT_WORDS, max(_MIN_LEFT_WORDS, len(words) * 4 // 5))]
            case _:
                changed = rng.sample(words, len(words))
        if changed != words:
            found.append((image, place, " ".join(changed)))
    return found


class ErrorProbability:
    """How probably a caption is wrong, and in which way.

    Args:
        evidence: on the captions as they are, of which most are right.
        planted: the evidence on planted errors, by kind.

    Attributes:
        shares: the estimated share of right captions and of each kind of `PLANTED`, (1 + kinds,).
    """

    def __init__(
        self, evidence: Sequence[CaptionEvidence], planted: Mapping[LabelError, Sequence[CaptionEvidence]]
    ) -> None:
        rows = _rows(evidence)
        of_planted = np.concatenate([_rows(planted[kind]) for kind in PLANTED])
        kinds = [kind for kind in PLANTED for _ in planted[kind]]
        self._fit(rows, of_planted, kinds)
        self.frequencies = _BALANCED  # floored, so that no kind is ever thought impossible
        for _ in range(_ROUNDS):
            looks_right = self._posterior(rows, self.frequencies)[:, 0] > 0.5
            if not looks_right.any():  # a captioner that learned nothing tells nothing from anything
                break
            self._fit(rows[looks_right], of_planted, kinds)
            self.frequencies = self._estimate_frequencies(rows)
        self.shares: FloatArray = self._posterior(rows, self.frequencies).mean(axis=0)

    def __call__(self, evidence: Sequence[CaptionEvidence], *, frequencies: FloatArray | None = None) -> FloatArray:
        """Returns the probabilities of being right and of each kind of `PLANTED`, (captions, 1 + kinds).

        Args:
            evidence: on the captions.
            frequencies: of right captions and of each kind among them, (1 + kinds,), where they are not as estimated.
        """
        return self._posterior(_rows(evidence), self.frequencies if frequencies is None else frequencies)

    def _fit(self, right: FloatArray, planted: FloatArray, kinds: Sequence[LabelError]) -> None:
        # Balanced: else errors that are as many among the captions as among the planted ones would pass for right.
        self._regression = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
        self._regression.fit(np.concatenate([right, planted]), [_RIGHT] * len(right) + list(kinds))

    def _estimate_frequencies(self, rows: FloatArray) -> FloatArray:
        """Expectation maximisation of the shares of the classes among these captions."""
        frequencies = _BALANCED
        for _ in range(_NUM_MAXIMISATIONS):
            found = np.maximum(self._posterior(rows, frequencies).mean(axis=0), _MIN_FREQUENCY)
            frequencies = found / found.sum()
        return frequencies

    def _posterior(self, rows: FloatArray, frequencies: FloatArray) -> FloatArray:
        """The regression's probabilities, as they are where the classes are so frequent."""
        order = [list(self._regression.classes_).index(name) for name in (_RIGHT, *PLANTED)]
        weighed: FloatArray = self._regression.predict_proba(rows)[:, order] * frequencies
        posterior: FloatArray = weighed / weighed.sum(axis=1, keepdims=True)
        return posterior


def _rows(evidence: Sequence[CaptionEvidence]) -> FloatArray:
    return np.array([astuple(one) for one in evidence], dtype=np.float64)
