"""How words of captions are akin: the same thing, a kind of it, another of its kind, or nothing of the sort.

WordNet lists the meanings of a word by frequency in prose, where a dog may be a chap and an orange a colour. Captions
name what can be seen. So a noun is taken in its visible meanings only (animals, persons, things, food, plants, places
...), and a meaning counts when it has a fair share of the word's uses in tagged text or is the first that is left.
"""

import re
from enum import IntEnum
from functools import cache, lru_cache

from captiongen.language.wordnet import PartOfSpeech, Synset, WordNet
from captiongen.text.normalise import normalise_caption

#: Lexicographer files of what can be seen: animal, artifact, body, event, food, group, location, object, person,
#: phenomenon, plant, shape, substance.
_VISIBLE_FIELDS = frozenset({5, 6, 8, 11, 13, 14, 15, 17, 18, 19, 20, 25, 27})
_GROUP_FIELDS = frozenset({14, 23})
_MIN_SHARE = 0.08  # of a word's uses, for a meaning to count
_MAX_SENSES = 4
# Wu-Palmer similarity from which two words are another of a kind: cat and dog 0.86, shirt and jacket 0.84.
_ALTERNATIVE = 0.8
_COUSIN_WEIGHT = 0.5
# What follows these words in a definition sets the thing apart from others of its kind.
_GENUS_END = re.compile(r"[(;]|\b(?:that|which|between|by|since|used)\b")
_UNREACHED = 99
_STEP = 0.1  # similarity lost by a step up or down
_MIN_KIND_SIMILARITY = 0.6


class Kinship(IntEnum):
    """How two words relate, from nothing to one meaning; KIND and above can be said of one and the same thing."""

    UNRELATED = 0
    ALTERNATIVE = 1
    KIND = 2
    SAME = 3


class Lexicon:
    """Compares lemmas by WordNet; every answer is remembered.

    Args:
        wordnet: the database; None opens the packaged one.

    Raises:
        DataError: there is none.
    """

    def __init__(self, wordnet: WordNet | None = None) -> None:
        self._wordnet = wordnet or WordNet()
        self.kinship = lru_cache(maxsize=None)(self._kinship)
        self.similarity = lru_cache(maxsize=None)(self._similarity)
        self.meanings = lru_cache(maxsize=None)(self._meanings)
        self.is_colour = lru_cache(maxsize=None)(self._is_colour)
        self.is_place = lru_cache(maxsize=None)(self._is_place)

    def _meanings(self, lemma: str, part_of_speech: PartOfSpeech) -> tuple[Synset, ...]:
        """Returns the meanings that count, the likeliest first."""
        senses = self._wordnet.senses(lemma, part_of_speech)
        if part_of_speech == "noun":
            senses = tuple(sense for sense in senses if sense.synset.field in _VISIBLE_FIELDS) or senses[:1]
        # Verbs have many close meanings, and counts of prose say little of what is seen: the first ones all count.
        total = 0 if part_of_speech == "verb" else sum(sense.count for sense in senses)
        kept = [sense.synset for sense in senses[1:] if sense.count >= max(1, _MIN_SHARE * total) or not total]
        return tuple(sense.synset for sense in senses[:1]) + tuple(kept[: _MAX_SENSES - 1])

    def _kinship(self, one: str, other: str, part_of_speech: PartOfSpeech) -> Kinship:
        """Returns how two lemmas are akin; symmetric."""
        if one == other:
            return Kinship.SAME
        pairs = [(a, b) for a in self.meanings(one, part_of_speech) for b in self.meanings(other, part_of_speech)]
        if any(a == b for a, b in pairs):
            return Kinship.SAME
        if any(self._is_opposed(a, b) for a, b in pairs[:1]):
            return Kinship.ALTERNATIVE
        if any(self._is_kind(a, b, one, other) for a, b in pairs):
            return Kinship.KIND
        if any(self._wu_palmer(a, b) >= _ALTERNATIVE for a, b in pairs):
            return Kinship.ALTERNATIVE
        return Kinship.UNRELATED

    def _similarity(self, one: str, other: str, part_of_speech: PartOfSpeech) -> float:
        """Returns 1 for one meaning, less with each step to a kind of it, at most 0.5 for another of its kind, or 0."""
        kinship = self.kinship(one, other, part_of_speech)
        if kinship is Kinship.SAME:
            return 1.0
        pairs = [(a, b) for a in self.meanings(one, part_of_speech) for b in self.meanings(other, part_of_speech)]
        if kinship is Kinship.KIND:
            steps = min((self._steps(a, b) for a, b in pairs), default=4)
            return max(_MIN_KIND_SIMILARITY, 1.0 - _STEP * steps)
        nearest = max((self._wu_palmer(a, b) for a, b in pairs), default=0.0)
        return _COUSIN_WEIGHT * nearest if nearest >= _ALTERNATIVE else 0.0

    def _is_kind(self, a: Synset, b: Synset, one: str, other: str) -> bool:
        if self._steps(a, b) < _UNREACHED or _mentions(a, other) or _mentions(b, one):
            return True
        person = self._synset("person")
        return person in self._wordnet.ancestors(a) and person in self._wordnet.ancestors(b)

    def _is_opposed(self, a: Synset, b: Synset) -> bool:
        """Whether one is male and the other female: people who are otherwise all persons."""
        male, female = self._synset("male", 1), self._synset("female", 1)
        above_a, above_b = self._wordnet.ancestors(a), self._wordnet.ancestors(b)
        return (male in above_a and female in above_b) or (female in above_a and male in above_b)

    def _steps(self, a: Synset, b: Synset) -> int:
        """Steps between two synsets of which one is a kind of the other; `_UNREACHED` where neither is."""
        up, down = (
            self._wordnet.ancestors(a).get(b.offset, _UNREACHED),
            self._wordnet.ancestors(b).get(a.offset, _UNREACHED),
        )
        return min(up, down)

    def _wu_palmer(self, a: Synset, b: Synset) -> float:
        """Wu and Palmer (1994): twice the depth of what both are kinds of, over the sum of their depths below it."""
        above_a, above_b = self._wordnet.ancestors(a), self._wordnet.ancestors(b)
        common = [(above_a[offset] + above_b[offset], offset) for offset in above_a if offset in above_b]
        if not common:
            return 0.0
        steps, offset = min(common)
        depth = 1 + self._wordnet.depth(a.part_of_speech, offset)
        return 2 * depth / (2 * depth + steps)

    def _is_colour(self, lemma: str) -> bool:
        """Whether a word names a colour: an adjective like "red", or a noun like "tan" that is a kind of colour."""
        hues = {self._synset("chromatic", 0, "adj"), self._synset("achromatic", 0, "adj")}
        names = self._wordnet.senses(lemma, "adj")[:1]
        if any(hues & self._wordnet.ancestors(sense.synset).keys() for sense in names):
            return True
        if any(sense.synset.field == 0 and {"black", "white"} & set(sense.synset.words) for sense in names[:1]):
            return True
        return bool(self._hues(lemma))

    def _is_place(self, lemma: str) -> bool:
        """Whether a noun names where one can be: a region, land or water form, way, room, or what covers the ground."""
        return any(
            meaning.field == 15 or self._places() & self._wordnet.ancestors(meaning).keys()
            for meaning in self.meanings(lemma, "noun")[:2]
        )

    @lru_cache(maxsize=1)  # noqa: B019 - a lexicon lives as long as its process
    def _places(self) -> frozenset[int]:
        return frozenset(self._synset(*place) for place in _PLACES)

    def group_size(self, lemma: str) -> int | None:
        """Returns how many a word for a group or quantity stands for, 0 for some number; None for other words.

        "pair" and "couple" are two by their definition, "group" and "bunch" are some.
        """
        group, first = self._synset("group"), self._wordnet.senses(lemma, "noun")[:1]
        groups = [
            sense.synset
            for sense in first
            if sense.synset.field in _GROUP_FIELDS or group in self._wordnet.ancestors(sense.synset)
        ]
        if not groups:
            return None
        return 2 if _mentions(groups[0], "two") or _mentions(groups[0], "pair") else 0

    def are_called_alike(self, one: str, other: str) -> bool:
        """Whether both nouns, in their likeliest meanings, can be said of one thing: what may be counted together."""
        if one == other:
            return True
        (a, *_), (b, *_) = self.meanings(one, "noun") or [None], self.meanings(other, "noun") or [None]
        if a is None or b is None or self._is_opposed(a, b):
            return False
        return a == b or self._is_kind(a, b, one, other)

    def is_kind_of(self, lemma: str, kind: str) -> bool:
        """Whether a noun's likeliest meaning is a kind of another's: a shirt of clothing, a skier of person."""
        above = self._synset(kind)
        return any(above in self._wordnet.ancestors(meaning) for meaning in self.meanings(lemma, "noun")[:1])

    def are_opposites(self, one: str, other: str) -> bool:
        """Whether two adjectives contradict each other, directly or through what they are similar to: tiny, large."""
        heads = self._heads(one)
        return any(set(head.opposites) & {other_head.offset for other_head in self._heads(other)} for head in heads)

    def _heads(self, adjective: str) -> list[Synset]:
        meanings = [sense.synset for sense in self._wordnet.senses(adjective, "adj")[:2]]
        return meanings + [self._wordnet.synset("adj", parent) for one in meanings for parent in one.parents]

    def same_colour(self, one: str, other: str) -> bool:
        """Whether two words can be said of one colour: "gray" and "grey", "tan" and "brown"."""
        if self.kinship(one, other, "adj") is Kinship.SAME:
            return True
        pairs = [(a, b) for a in self._hues(one) for b in self._hues(other)]
        return any(self._steps(a, b) < _UNREACHED or _mentions(a, other) or _mentions(b, one) for a, b in pairs)

    def _hues(self, word: str) -> list[Synset]:
        """The meanings of a noun that are colours: black is a person and a chess player's side as well."""
        colour = self._synset("color")
        senses = [sense.synset for sense in self._wordnet.senses(word, "noun")]
        return [sense for sense in senses if colour in self._wordnet.ancestors(sense)]

    def count(self, lemma: str, part_of_speech: PartOfSpeech) -> int:
        """Returns how often a word was so used in WordNet's tagged texts."""
        return sum(sense.count for sense in self._wordnet.senses(lemma, part_of_speech))

    def knows(self, lemma: str, part_of_speech: PartOfSpeech) -> bool:
        """Whether the word can be of this part of speech."""
        return bool(self._wordnet.senses(lemma, part_of_speech))

    def is_visible(self, lemma: str) -> bool:
        """Whether a noun's first meanings have one that can be seen."""
        senses = self._wordnet.senses(lemma, "noun")[:3]
        return any(sense.synset.field in _VISIBLE_FIELDS for sense in senses)

    def _synset(self, word: str, sense: int = 0, part_of_speech: PartOfSpeech = "noun") -> int:
        return self._wordnet.senses(word, part_of_speech)[sense].synset.offset


#: Word and number of the sense (from 0): what places are kinds of.
_PLACES: tuple[tuple[str, int], ...] = (
    ("location", 0), ("geological_formation", 0), ("body_of_water", 0), ("land", 3), ("way", 5), ("room", 0),
    ("snow", 0), ("sand", 0), ("water", 0), ("grass", 0), ("floor", 0), ("facility", 0),
)  # fmt: skip


def _mentions(synset: Synset, word: str) -> bool:
    """Whether a definition is given in terms of the word: a kitten is a "young domestic cat"."""
    return word in _definition_words(synset)


@cache
def _definition_words(synset: Synset) -> frozenset[str]:
    return frozenset(normalise_caption(_GENUS_END.split(synset.definition, maxsplit=1)[0]).split())
