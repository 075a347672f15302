"""What a set of captions says of words: how common they are, and which are said of the same pictures."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Self

from captiongen.analysis.errors.fact_reader import FactReader
from captiongen.text.function_words import FUNCTION_WORDS
from captiongen.text.normalise import normalise_caption
from captiongen.types import Captions

# A pair of words must have been said together of so many pictures before it counts as more than chance.
_MIN_PAIRS = 3


class CaptionCorpus:
    """Counts over captioned images, usually the train split.

    Args:
        captions: all captions, normalised.
        documents: lemma -> in how many images' captions it stands.
        pairs: two lemmas in alphabetical order -> in how many images' captions both stand.
        num_images: size of the set.
    """

    def __init__(
        self,
        captions: frozenset[str],
        documents: Mapping[str, int],
        pairs: Mapping[tuple[str, str], int],
        num_images: int,
    ) -> None:
        self._captions, self._documents, self._pairs, self._num_images = captions, documents, pairs, num_images

    @classmethod
    def of(cls, references: Captions, reader: FactReader) -> Self:
        """Counts a set of references."""
        documents: Counter[str] = Counter()
        pairs: Counter[tuple[str, str]] = Counter()
        for captions in references.values():
            lemmas = sorted({lemma for caption in captions for lemma in content_lemmas(caption, reader)})
            documents.update(lemmas)
            pairs.update(combinations(lemmas, 2))
        kept = {pair: count for pair, count in pairs.items() if count >= _MIN_PAIRS}
        texts = frozenset(normalise_caption(caption) for captions in references.values() for caption in captions)
        return cls(texts, documents, kept, len(references))

    def __contains__(self, caption: str) -> bool:
        """Whether the caption stands in the set, word by word."""
        return normalise_caption(caption) in self._captions

    def share(self, lemma: str) -> float:
        """Returns the share of images of which the word is said, 0..1."""
        return self._documents.get(lemma, 0) / max(1, self._num_images)

    def idf(self, lemma: str) -> float:
        """Returns the inverse document frequency, log((images + 1) / (images with the word + 1)), at least 0."""
        return math.log((self._num_images + 1) / (self._documents.get(lemma, 0) + 1))

    def association(self, one: str, other: str) -> float:
        """Returns the normalised pointwise mutual information of two words over images (Bouma, 2009), 0..1.

        1 where they are only said of the same pictures, 0 where no more often together than by chance.
        """
        together = self._pairs.get((one, other) if one < other else (other, one), 0)
        if together == 0 or together == self._num_images:
            return 0.0
        chance = self._documents[one] * self._documents[other] / self._num_images
        return max(0.0, math.log(together / chance) / -math.log(together / self._num_images))


def content_lemmas(caption: str, reader: FactReader) -> Sequence[str]:
    """Returns the lemmas of a caption's content words, in order."""
    return [word.lemma for word in reader.words(caption) if is_content(word.word, word.tag)]


def is_content(word: str, tag: str) -> bool:
    """Whether a word says something of the picture: a noun, verb, adjective, number or word of place."""
    return word not in FUNCTION_WORDS and tag[:2] in ("NN", "NP", "VV", "AJ", "CR", "AV")
