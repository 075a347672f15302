"""Captions in the one spelling that models learn and metrics compare."""

import re
import unicodedata

_CLITICS = frozenset({"'s", "'re", "'ve", "'ll", "'d", "'m", "n't"})
_SPLIT_CLITIC = re.compile(r"(?<=\w)('(?:s|re|ve|ll|d|m)|n't)(?= |$)")


class _WordCharacters(dict[int, str]):
    """Maps letters, digits and their marks to themselves, apostrophes and hyphens to ASCII, all else to a space."""

    def __missing__(self, codepoint: int) -> str:
        character = chr(codepoint)
        if character in "'\u2018\u2019\u02bc":
            kept = "'"
        elif character in "-\u2010\u2011":
            kept = "-"
        else:
            kept = character if unicodedata.category(character)[0] in "LMN" else " "
        self[codepoint] = kept
        return kept


_WORD_CHARACTERS = _WordCharacters()


def normalise_caption(text: str) -> str:
    """Returns the caption in lower case, without punctuation, its words joined by single spaces.

    Apostrophes and hyphens inside a word belong to it (`t-shirt`), and a clitic that a corpus wrote apart is joined to
    its word again (`the dog 's ball` -> `the dog's ball`). Idempotent. Empty when the text has no words.
    """
    lowered = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    words: list[str] = []
    for piece in lowered.translate(_WORD_CHARACTERS).split():
        word = piece.strip("-'")
        if words and (piece in _CLITICS or word == "n't"):
            words[-1] += piece if piece in _CLITICS else word
        elif word:
            words.append(word)
    return " ".join(words)


def metric_tokens(text: str) -> list[str]:
    """Splits a caption as caption metrics want it: a pure-Python stand-in for coco-caption's PTB tokenizer.

    Lower case, punctuation removed, hyphenated words whole, clitics apart (`dog's` -> `dog`, `'s`). It departs from the
    Java original in rare cases only (`cannot`, currency signs, abbreviations with full stops).
    """
    return _SPLIT_CLITIC.sub(r" \1", normalise_caption(text)).split()
