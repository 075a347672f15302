"""CIDEr-D (Vedantam et al., CVPR 2015), equal to coco-caption's "CIDEr" image by image.

Tf-idf weighted n-grams of orders 1..4, clipped, compared by cosine, damped by a Gaussian of the length difference.
The document frequencies decide the scale: taken from chunks of 1 / 10 / 100 / 1,000 images the same captions score
0 / 99 / 90 / 84. So a `CiderScorer` takes its frequencies from one fixed set of references, and a score of a set is the
mean over its images under those frequencies, never a mean over batches with their own.

Training calls this often, so the references' weights are computed once per image and kept; scoring a caption then costs
some 40 microseconds.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from captiongen.errors import DataError
from captiongen.metrics.ngrams import MAX_ORDER, Ngram, Tokens, count_ngrams, tokenise_pairs
from captiongen.types import Captions

_SIGMA = 6.0
_SCALE = 100.0 * 10.0 / MAX_ORDER  # papers' per cent x CIDEr-D's own factor of 10 x mean over the orders
# Prepared images kept in memory: about 20 kB each, so a training set of any size stays below half a gigabyte.
_NUM_PREPARED_IMAGES = 16_384


@dataclass(frozen=True, slots=True)
class DocumentFrequencies:
    """In how many images' references each n-gram appears.

    Attributes:
        counts: n-gram -> number of images; those seen in one image may be left out, they weigh the same as unseen ones.
        num_images: size of the set that was counted.
    """

    counts: Mapping[Ngram, int]
    num_images: int

    @classmethod
    def of(cls, references: Mapping[str, Sequence[Tokens]]) -> "DocumentFrequencies":
        """Counts over a set of references (image id -> tokenised captions)."""
        counts: Counter[Ngram] = Counter()
        for captions in references.values():
            counts.update({ngram for caption in captions for ngram in count_ngrams(caption)})
        return cls({ngram: count for ngram, count in counts.items() if count > 1}, len(references))


#: Every n-gram is as rare as any other; how rare cancels out.
_NO_FREQUENCIES = DocumentFrequencies({}, num_images=2)


class _Vector(NamedTuple):
    """A caption as tf-idf weights."""

    weights: dict[Ngram, float]
    norms: Sequence[float]  # one per order
    length: int  # in bigrams, as coco-caption measures it: captions of no and of one word are equally long


class CiderScorer:
    """Scores tokenised captions against an image's references under fixed document frequencies.

    Args:
        references: image id -> tokenised references, at least one each.
        document_frequencies: None counts them over `references`, as coco-caption does.
    """

    def __init__(
        self, references: Mapping[str, Sequence[Tokens]], *, document_frequencies: DocumentFrequencies | None = None
    ) -> None:
        self._references = references
        frequencies = document_frequencies or DocumentFrequencies.of(references)
        self._counts, self._unseen_weight = frequencies.counts, math.log(max(1, frequencies.num_images))
        self._prepare = lru_cache(maxsize=_NUM_PREPARED_IMAGES)(self._prepare_image)

    def score(self, image_id: str, hypothesis: Tokens) -> float:
        """Returns CIDEr-D of one caption, 0..1000.

        Raises:
            DataError: there are no references for `image_id`.
        """
        return self.score_under([image_id], hypothesis)[0]

    def score_under(self, image_ids: Sequence[str], hypothesis: Tokens) -> list[float]:
        """Returns what `score` gives one caption for each of several images; cheaper than asking one by one.

        Raises:
            DataError: there are no references for one of them.
        """
        vector = self._vectorise(hypothesis)
        of_images = (self._prepare(image_id) for image_id in image_ids)
        return [_SCALE * sum(_similarity(vector, one) for one in of_one) / len(of_one) for of_one in of_images]

    def score_all(self, image_ids: Sequence[str], hypotheses: Sequence[Tokens]) -> npt.NDArray[np.float64]:
        """Scores captions one by one, shape (captions,); an image may come any number of times."""
        return np.array([self.score(*pair) for pair in zip(image_ids, hypotheses, strict=True)], dtype=np.float64)

    def _vectorise(self, tokens: Tokens) -> _Vector:
        weights: dict[Ngram, float] = {}
        squares = [0.0] * MAX_ORDER
        for ngram, count in count_ngrams(tokens).items():
            weight = count * (self._unseen_weight - math.log(self._counts.get(ngram, 1)))
            weights[ngram] = weight
            squares[len(ngram) - 1] += weight * weight
        return _Vector(weights, [math.sqrt(square) for square in squares], max(len(tokens) - 1, 0))

    def _prepare_image(self, image_id: str) -> list[_Vector]:
        references = self._references.get(image_id)
        if not references:
            raise DataError(f"CIDEr needs references of every image it scores, found none of {image_id!r}.")
        return [self._vectorise(reference) for reference in references]


def _similarity(hypothesis: _Vector, reference: _Vector) -> float:
    """Sum over the orders of the clipped cosine, damped by the difference of lengths."""
    products = [0.0] * MAX_ORDER
    # In the hypothesis' order, not a set's: sums then have the same last bit in every process.
    for ngram, weight in hypothesis.weights.items():
        if (reference_weight := reference.weights.get(ngram)) is not None:
            products[len(ngram) - 1] += min(weight, reference_weight) * reference_weight
    cosines = 0.0
    for product, norm, reference_norm in zip(products, hypothesis.norms, reference.norms, strict=True):
        if product:
            cosines += product / (norm * reference_norm)
    return cosines * math.exp(-((hypothesis.length - reference.length) ** 2) / (2 * _SIGMA**2))


def pairwise_cider(captions: Sequence[Tokens]) -> npt.NDArray[np.float64]:
    """Returns CIDEr-D (0..1000) of each caption against each one as its only reference, shape (captions, captions).

    There is no set of references to count document frequencies in, so every n-gram weighs the same: these values
    compare captions of one image with each other, never with a CIDEr of a data set.
    """
    scorer = CiderScorer({}, document_frequencies=_NO_FREQUENCIES)
    vectors = [scorer._vectorise(caption) for caption in captions]
    return _SCALE * np.array([[_similarity(one, other) for other in vectors] for one in vectors])


def corpus_cider(hypotheses: Mapping[str, str], references: Captions) -> float:
    """Returns CIDEr-D (0..1000) of a set of captions, document frequencies from its own references.

    Raises:
        DataError: hypotheses and references are not of the same images.
    """
    tokenised_hypotheses, tokenised_references = tokenise_pairs(hypotheses, references)
    scorer = CiderScorer(tokenised_references)
    return float(scorer.score_all(list(tokenised_hypotheses), list(tokenised_hypotheses.values())).mean())
