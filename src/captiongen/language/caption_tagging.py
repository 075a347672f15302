"""Part of speech and lemma of the words of captions, where a tagger of prose goes wrong."""

from typing import Literal

from captiongen.language.lexicon import Lexicon
from captiongen.language.tagging import TaggedWord, Tagger


class CaptionTagger:
    """Tags captions: mends what another tagger makes of them.

    Args:
        tagger: of prose.
        lexicon: what words mean.
    """

    def __init__(self, tagger: Tagger, lexicon: Lexicon) -> None:
        self._tagger, self._lexicon = tagger, lexicon

    def __call__(self, caption: str) -> tuple[TaggedWord, ...]:
        """Returns the words of a caption, normalised first.

        Verbs that a tagger of prose takes for nouns become verbs: "a dog runs", "cats rest", "a man rock climbing".
        """
        words = self._tagger(caption)
        mended = [self._as_person(word) for word in words]
        for i in range(1, len(words)):
            chance = self._chance_of_verb(mended, i) if words[i].tag.startswith("NN") else "none"
            verb = _verb_lemma(words[i], self._lexicon) if chance != "none" else None
            is_rather_noun = verb and self._lexicon.count(verb, "verb") < self._lexicon.count(words[i].lemma, "noun")
            if verb and not (chance == "fair" and is_rather_noun):
                mended[i] = TaggedWord(words[i].word, verb, _verb_tag(words[i].word))
        return tuple(mended)

    def _as_person(self, word: TaggedWord) -> TaggedWord:
        """Makes nouns of "someone" and "everybody": pronouns to the tagger, persons to WordNet."""
        is_person = word.tag == "PNI" and word.word != "one" and self._lexicon.is_kind_of(word.word, "person")
        return TaggedWord(word.word, word.lemma, "NN1") if is_person else word

    def _chance_of_verb(self, words: list[TaggedWord], i: int) -> Literal["none", "fair", "good"]:
        """How likely a word tagged as a noun is the verb, by the words around it."""
        before = words[i - 1]
        is_last_noun = i + 1 == len(words) or not words[i + 1].tag.startswith("NN")
        if before.tag == "NN2" or (before.tag.startswith("NN") and words[i].tag == "NN2" and not is_last_noun):
            return "good"  # plurals rarely stand in front of a noun
        if before.tag.startswith("NN") and is_last_noun and words[i + 1 : i + 2] and words[i + 1].tag in ("AT0", "CRD"):
            return "good"  # "a boy waves one hand": a noun phrase has ended, and another begins
        if before.tag.startswith("NN"):
            return "fair" if is_last_noun else "none"
        is_worn = i >= 2 and words[i - 2].tag == "PRP" and self._lexicon.is_colour(before.lemma)
        return "fair" if is_worn and is_last_noun else "none"  # "a boy in red runs"


def _verb_lemma(word: TaggedWord, lexicon: Lexicon) -> str | None:
    """The verb that a word tagged as a noun may be a form of, as WordNet's morphy finds it."""
    endings = {"ing": ("", "e"), "es": ("", "e"), "s": ("",), "": ("",)}
    for ending, replacements in endings.items():
        if word.word.endswith(ending):
            stem = word.word.removesuffix(ending)
            doubled = (stem[:-1],) if ending == "ing" and stem[-1:] == stem[-2:-1] else ()
            candidates = [stem + replacement for replacement in replacements] + list(doubled)
            if found := next((one for one in candidates if lexicon.count(one, "verb")), None):
                return found
    return None


def _verb_tag(word: str) -> str:
    return "VVG" if word.endswith("ing") else "VVZ" if word.endswith("s") else "VVB"
