"""Scores a caption as people would: by what it says of what people say, and by the picture where one is looked at.

    by references = agreement x product of (1 - weight) over the types of its errors
    agreement = 0.45 content + 0.30 gist + 0.25 cider, and where captions can be embedded, half that and half likeness
    score = by references, or where the picture is looked at, 0.7 by references + 0.3 by the picture

    content   weighted F of content lemmas, matched softly: a word counts 1 where references use it or a synonym, less
              for a kind of it, and a little where it is often said of such pictures (as METEOR matches stems and
              synonyms; Banerjee and Lavie, 2005). Words weigh their rarity, the references' also how many say them.
    gist      cosine of the caption's words with those of all references, spread over associated words: how near it is
              when no word is shared.
    cider     1 - exp(-CIDEr-D / human): CIDEr-D relative to what one person scores against the others on this image, so
              that an image on which people differ is no worse than another. Word order counts here alone.
    likeness  cosine of the caption's embedding with the mean of the references', as a matcher embeds them that learned
              from other pictures which captions tell of the same one (as RefCLIPScore does; Hessel et al., 2021).
    errors    as `captiongen.analysis.errors.taxonomy` names them: contradictions, repetition, a broken end.

All frequencies are of one set of references, as those of CIDEr-D are. Weights were chosen on the dev images of
benchmarks/judge.py; docs/judge.md has what each part is worth on others.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from captiongen.analysis.errors.caption_error import CaptionError, ErrorType
from captiongen.analysis.errors.corpus import CaptionCorpus, is_content
from captiongen.analysis.errors.fact_reader import FactReader
from captiongen.analysis.errors.taxonomy import find_errors
from captiongen.errors import DataError
from captiongen.language.lexicon import Lexicon
from captiongen.language.wordnet import PartOfSpeech
from captiongen.metrics.cider import CiderScorer, DocumentFrequencies
from captiongen.text.normalise import metric_tokens
from captiongen.types import Captions

#: How much each part of the agreement weighs; they sum to 1.
AGREEMENT_WEIGHTS = {"content": 0.45, "gist": 0.30, "cider": 0.25}
_LIKENESS_WEIGHT = 0.5  # of likeness in the agreement
_IMAGE_WEIGHT = 0.3  # of the picture in the score
#: What an error takes from the score; errors that are not named here take nothing: their words are unmatched already.
ERROR_WEIGHTS: Mapping[ErrorType, float] = {
    ErrorType.WRONG_OBJECT: 0.15, ErrorType.COLOUR: 0.10, ErrorType.COUNT: 0.10, ErrorType.ACTION: 0.05,
    ErrorType.RELATION: 0.10, ErrorType.SCENE: 0.05, ErrorType.ATTRIBUTE: 0.05, ErrorType.GRAMMAR: 0.05,
    ErrorType.REPETITION: 0.20, ErrorType.TRUNCATION: 0.20,
}  # fmt: skip
# Of recall in F: people forgive less what is false than what is left out, but a word is no caption.
_RECALL_WEIGHT = 0.6
_ASSOCIATION_WEIGHT = 0.35  # of a word that is only said of such pictures
_MIN_WEIGHT = 0.1  # of a word that is said of every image
_ASSUMED_HUMAN_CIDER = 80.0  # of images with one reference, whose human score nobody can know
_MIN_HUMAN_CIDER = 20.0
_PARTS: tuple[tuple[str, PartOfSpeech], ...] = (("NN", "noun"), ("VV", "verb"), ("AJ", "adj"))


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a caption is worth.

    Attributes:
        score: 0..1, the more the better.
        content: 0..1, agreement in words.
        gist: 0..1, agreement in topic.
        cider: CIDEr-D, 0..1000.
        errors: what is wrong with it.
        likeness: 0..1, to the references as a whole; None where captions cannot be embedded.
        image_score: 0..1, by the picture; None where nobody looked.
    """

    score: float
    content: float
    gist: float
    cider: float
    errors: tuple[CaptionError, ...]
    likeness: float | None = None
    image_score: float | None = None


class ImageScorer(Protocol):
    """How well a caption fits the picture itself, references unseen."""

    def __call__(self, image_id: str, caption: str) -> float:
        """Returns 0..1, the more the better."""


class CaptionEmbedder(Protocol):
    """Where captions lie, those that tell of one picture near each other."""

    def __call__(self, captions: Sequence[str], /) -> npt.NDArray[np.float64]:
        """Returns (captions, width), unit length; zero for a caption without words."""


#: A content lemma and its part of speech.
_Term = tuple[str, PartOfSpeech | None]


class Judge:
    """Judges captions of a set of images by their references.

    Args:
        references: image id -> captions by people, of all images that frequencies are to be taken from.
        reader: reads facts.
        image_scorer: a second opinion that looks at the picture.
        embedder: a third one, of captions as wholes.
        training: the captions of the training data; with them errors of style are named too.
    """

    def __init__(
        self,
        references: Captions,
        reader: FactReader,
        *,
        image_scorer: ImageScorer | None = None,
        embedder: CaptionEmbedder | None = None,
        training: CaptionCorpus | None = None,
    ) -> None:
        self._references, self._reader, self._training = references, reader, training
        self._image_scorer, self._embedder = image_scorer, embedder
        self.corpus = CaptionCorpus.of(references, reader)
        tokens = {image_id: [metric_tokens(text) for text in texts] for image_id, texts in references.items()}
        self._frequencies = DocumentFrequencies.of(tokens)
        self._similarity = lru_cache(maxsize=1_000_000)(self._word_similarity)
        self._mass = lru_cache(maxsize=16_384)(self._weigh_references)
        self._human_cider = lru_cache(maxsize=None)(self._leave_one_out)

    def judge(self, image_id: str, caption: str, *, without: str | None = None, is_complete: bool = True) -> Judgement:
        """Judges one caption.

        Args:
            image_id: whose references are taken.
            caption: in any spelling; an empty one scores 0.
            without: a reference that is not looked at, such as the caption itself when it is a person's.
            is_complete: False when a search stopped at its length limit.

        Raises:
            DataError: there are no references of the image.
        """
        texts = list(self._references.get(image_id, ()))
        if without in texts:
            texts.remove(without)
        if not texts:
            raise DataError(f"Expected references of the image {image_id!r}, found none. Name it as the captions do.")
        content, gist = self._content(caption, texts)
        cider = self._cider_against(texts, caption)
        human = self._human_cider(image_id)
        parts = {"content": content, "gist": gist, "cider": 1.0 - math.exp(-cider / human)}
        agreement = sum(weight * parts[name] for name, weight in AGREEMENT_WEIGHTS.items())
        if (likeness := self._likeness(caption, texts)) is not None:
            agreement = (1.0 - _LIKENESS_WEIGHT) * agreement + _LIKENESS_WEIGHT * likeness
        errors = find_errors(caption, texts, self._reader, corpus=self._training, is_complete=is_complete)
        kept = math.prod(1.0 - ERROR_WEIGHTS.get(kind, 0.0) for kind in sorted({error.type for error in errors}))
        score = agreement * kept
        seen = None if self._image_scorer is None else self._image_scorer(image_id, caption)
        if seen is not None and self._reader.words(caption):  # who says nothing is right about nothing
            score = (1.0 - _IMAGE_WEIGHT) * score + _IMAGE_WEIGHT * seen
        return Judgement(score, content, gist, cider, errors, likeness, seen)

    def _likeness(self, caption: str, texts: Sequence[str]) -> float | None:
        if self._embedder is None:
            return None
        vector, *others = self._embedder([caption, *texts])
        centre = np.mean(others, axis=0)  # of nothing but zeros where no reference has words
        return float(np.clip(vector @ centre / (np.linalg.norm(centre) or 1.0), 0.0, 1.0))

    def _cider_against(self, texts: Sequence[str], caption: str) -> float:
        references = {"": [metric_tokens(text) for text in texts]}
        scorer = CiderScorer(references, document_frequencies=self._frequencies)
        return scorer.score("", metric_tokens(caption))

    def _leave_one_out(self, image_id: str) -> float:
        """What one person's caption scores against the others', 0..1000."""
        texts = self._references[image_id]
        if len(texts) < 2:
            return _ASSUMED_HUMAN_CIDER
        scores = [self._cider_against([*texts[:i], *texts[i + 1 :]], text) for i, text in enumerate(texts)]
        return max(_MIN_HUMAN_CIDER, sum(scores) / len(scores))

    def _terms(self, caption: str) -> Sequence[_Term]:
        words = self._reader.words(caption)
        # In the caption's order, not a set's: sums then have the same last bit in every process.
        terms = ((word.lemma, _part_of_speech(word.tag)) for word in words if is_content(word.word, word.tag))
        return list(dict.fromkeys(terms))

    def _content(self, caption: str, texts: Sequence[str]) -> tuple[float, float]:
        """Returns (soft F of content words, cosine of topics)."""
        ours, (theirs, norm) = self._terms(caption), self._mass(tuple(texts))
        if not ours or not theirs:
            return 0.0, 0.0
        weight = {term: self._weight(term) for term in ours}
        near = {(a, b): self._similarity(a, b) for a in ours for b in theirs}
        precision = sum(weight[a] * max(near[a, b] for b in theirs) for a in ours) / sum(weight.values())
        recall = sum(theirs[b] * max(near[a, b] for a in ours) for b in theirs) / sum(theirs.values())
        f = 0.0
        if precision and recall:
            f = precision * recall / (_RECALL_WEIGHT * precision + (1 - _RECALL_WEIGHT) * recall)
        product = sum(weight[a] * theirs[b] * likeness for (a, b), likeness in near.items())
        return f, min(1.0, product / math.sqrt(self._norm(weight) * norm))

    def _weigh_references(self, texts: tuple[str, ...]) -> tuple[Mapping[_Term, float], float]:
        """Returns the weight of every term that an image's references use, and the squared norm of all of them."""
        counts = Counter(term for text in texts for term in self._terms(text))
        # What is said by one of five weighs a fifth: nobody says all that five say together.
        mass = {term: self._weight(term) * count / len(texts) for term, count in counts.items()}
        return mass, self._norm(mass)

    def _weight(self, term: _Term) -> float:
        return self.corpus.idf(term[0]) + _MIN_WEIGHT

    def _norm(self, weights: Mapping[_Term, float]) -> float:
        return sum(
            weight * other * self._similarity(a, b) for a, weight in weights.items() for b, other in weights.items()
        )

    def _word_similarity(self, one: _Term, other: _Term) -> float:
        """Likeness of two words, 0..1: by WordNet within a part of speech, by the company they keep across."""
        if one[0] == other[0]:
            return 1.0
        lexicon: Lexicon = self._reader.lexicon
        meaning = lexicon.similarity(one[0], other[0], one[1]) if one[1] is not None and one[1] == other[1] else 0.0
        return max(meaning, _ASSOCIATION_WEIGHT * self.corpus.association(one[0], other[0]))


def _part_of_speech(tag: str) -> PartOfSpeech | None:
    return next((part for prefix, part in _PARTS if tag.startswith(prefix)), None)
