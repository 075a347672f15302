"""Words with their part of speech and lemma, by HanTa (Wartena, 2019): a trigram HMM over morphemes, offline."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from captiongen.errors import DataError
from captiongen.text.normalise import normalise_caption

# Longer ones are no words (addresses, encoded data), and a caption of more words is none: they are taken for nouns.
_LONGEST_WORD, _MOST_WORDS = 40, 500
_STAND_IN = "thing"


@dataclass(frozen=True, slots=True)
class TaggedWord:
    """A word of a caption.

    Attributes:
        word: as `normalise_caption` writes it.
        lemma: its dictionary form.
        tag: part of speech in the CLAWS C5 tags of the British National Corpus: NN1 a singular noun, VVG an -ing form.
    """

    word: str
    lemma: str
    tag: str


class Tagger(Protocol):
    """Tags a caption; position i of the answer is word i of the normalised caption."""

    def __call__(self, caption: str) -> tuple[TaggedWord, ...]:
        """Returns the words of a caption."""


class HantaTagger:
    """HanTa with the English model that its package carries; 0.4 s to load, 0.5 ms a caption.

    Raises:
        DataError: HanTa is not installed.
    """

    def __init__(self) -> None:
        try:
            from HanTa.HanoverTagger import HanoverTagger
        except ImportError as error:
            raise DataError("Expected the package HanTa, found none. Run `pip install HanTa`.") from error
        self._hanta: Any = HanoverTagger("morphmodel_en.pgz")
        # What a word can be, and the lemma of a tagged word, do not depend on the sentence, and captions share their
        # words: remembered, a caption takes half the time.
        for name in ("_tag_word", "_analyze"):
            setattr(self._hanta, name, lru_cache(maxsize=65_536)(getattr(self._hanta, name)))

    def __call__(self, caption: str) -> tuple[TaggedWord, ...]:
        """Returns the words of a caption, normalised first."""
        words = normalise_caption(caption).split()
        # The tagger's time grows with the square of a word's length, and its recursion with the number of words.
        readable = [word if len(word) <= _LONGEST_WORD else _STAND_IN for word in words[:_MOST_WORDS]]
        tagged = self._hanta.tag_sent(readable) if readable else ()
        return (
            *(
                TaggedWord(word, lemma if word == read else word, tag)
                for word, (read, lemma, tag) in zip(words, tagged, strict=False)
            ),
            *(TaggedWord(word, word, "NN1") for word in words[_MOST_WORDS:]),
        )


@lru_cache(maxsize=1)
def english_tagger() -> Tagger:
    """Returns the tagger, loaded once a process."""
    return HantaTagger()
