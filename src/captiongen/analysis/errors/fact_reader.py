"""Reads from a caption what it states (`captiongen.analysis.errors.facts`).

Words are tagged and lemmatised by HanTa; noun phrases are found by one regular expression over the tags (a chunker, as
in Abney, 1991), and what they are is asked of WordNet. Captions are short and plain, so the nearest noun phrase that no
preposition governs is the subject, and no parser is needed.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from captiongen.analysis.errors.facts import Action, Facts, Relation, Thing, Word
from captiongen.language.caption_tagging import CaptionTagger
from captiongen.language.lexicon import Lexicon
from captiongen.language.tagging import TaggedWord, Tagger, english_tagger

# One letter per word, from the tag's beginning: the alphabet of the expressions below.
_LETTERS: Mapping[str, str] = {
    "AT": "D", "DT": "D", "DPS": "D", "CRD": "C", "ORD": "J", "AJ": "J", "NN": "N", "NP": "N", "PRP": "P", "PRF": "F",
    "VV": "V", "VB": "B", "VD": "B", "VH": "H", "VM": "B", "AVP": "T", "AV": "R", "CJC": "A", "CJ": "S", "PN": "O",
    "TO": "I", "EX": "E",
}  # fmt: skip
_NOUN_PHRASE = re.compile(r"D*C*D*(?:(?<=[DC])R(?=J))?(?:[JC](?:A(?=J))?)*N+")
_NUMBER_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip
_NUMBERS = {word: number for number, word in enumerate(_NUMBER_WORDS)}
# Words that state a relation, longest first; what they mean is the closed class that grammars list.
_RELATION_WORDS: Mapping[str, str] = {
    "to the left of": "left", "on the left of": "left", "on the left side of": "left", "left of": "left",
    "to the right of": "right", "on the right of": "right", "on the right side of": "right", "right of": "right",
    "to its left": "left", "to its right": "right", "in front of": "front", "in back of": "behind",
    "on top of": "on", "next to": "near", "close to": "near", "out of": "out",
    "before": "front", "behind": "behind", "above": "over", "over": "over", "atop": "on", "on": "on", "upon": "on",
    "onto": "on", "under": "under", "below": "under", "beneath": "under", "underneath": "under", "in": "in",
    "inside": "in", "within": "in", "into": "in", "near": "near", "beside": "near", "by": "near", "with": "with",
    "outside": "out", "at": "at", "through": "through", "across": "across", "along": "along", "down": "down",
    "up": "up", "around": "around", "against": "near", "alongside": "near", "between": "between", "after": "after",
}  # fmt: skip
_LONGEST_RELATION = max(len(words.split()) for words in _RELATION_WORDS)
#: The words of a caption that state a relation: its name, the position of the first, that after the last.
_RelationWords = tuple[tuple[str, int, int], ...]
_WHERE = frozenset({"in", "on", "at", "through", "across", "along", "down", "up", "over", "around"})


class FactReader:
    """Reads facts from captions.

    Args:
        lexicon: what words mean.
        tagger: what part of speech they are.

    Raises:
        DataError: a package that the analysis needs is not installed.
    """

    def __init__(self, lexicon: Lexicon | None = None, tagger: Tagger | None = None) -> None:
        self.lexicon = lexicon or Lexicon()
        self._tagger = CaptionTagger(tagger or english_tagger(), self.lexicon)
        self.read = lru_cache(maxsize=65_536)(self._read)
        self.words = lru_cache(maxsize=65_536)(self._words)

    def _read(self, caption: str) -> Facts:
        """Returns what a caption states; nothing of an empty one."""
        words = self.words(caption)
        letters = _letters(words)
        relations = _relation_words(words)
        things = self._things(words, letters, relations)
        things = self._with_loose_colours(things, words, letters)
        free = _free(things, relations, letters)
        actions = tuple(
            Action(Word(words[i].lemma, i), _subject(things, free, i))
            for i, letter in enumerate(letters)
            if letter == "V"
        )
        return Facts(words, things, actions, _relations(things, free, relations, words))

    def _words(self, caption: str) -> tuple[TaggedWord, ...]:
        """Returns a caption's words alone, in a third of the time of its facts."""
        return self._tagger(caption)

    def _things(self, words: tuple[TaggedWord, ...], letters: str, relations: _RelationWords) -> tuple[Thing, ...]:
        inside = {position for _, start, stop in relations for position in range(start, stop)}
        things: list[Thing] = []
        for match in _NOUN_PHRASE.finditer(letters):
            start, stop = match.span()
            head = stop - 1
            if head in inside or self._is_bare_colour(words, start, stop):
                continue
            thing = self._thing(words, start, stop)
            before = things[-1] if things else None
            if before and letters[before.stop : start] == "F" and self._group(before) is not None:
                things[-1] = self._of_group(before, thing)
            else:
                things.append(thing)
        return tuple(self._placed(thing, relations) for thing in things)

    def _thing(self, words: tuple[TaggedWord, ...], start: int, stop: int) -> Thing:
        head = words[stop - 1]
        lemma = (self._compound(words[stop - 2], head) if stop - 2 >= start else None) or _noun_lemma(
            head, self.lexicon
        )
        colours: list[Word] = []
        attributes: list[Word] = []
        for position in range(start, stop - 1):
            word = words[position]
            if word.tag[:2] in ("AJ", "NN", "NP", "VV"):
                is_colour = self.lexicon.is_colour(word.lemma)
                (colours if is_colour else attributes).append(Word(word.lemma, position))
        count = _count(words[start:stop])
        if count == 1 and self.lexicon.group_size(head.lemma) is not None:
            count = None  # one family, and nobody counted its members
        return Thing(Word(lemma, stop - 1), start, stop, count, tuple(colours), tuple(attributes))

    def _compound(self, before: TaggedWord, head: TaggedWord) -> str | None:
        """The two words as one noun that the lexicon lists: "tennis ball"; "german shepherd", which is no shepherd."""
        compound = f"{before.lemma}_{head.lemma}"
        if not self.lexicon.knows(compound, "noun"):
            return None
        if before.tag.startswith("NN"):
            return compound
        # A "blue cat" may be a fish in the dictionary; who captions a picture says a colour.
        is_name = before.tag.startswith("AJ") and not self.lexicon.is_colour(before.lemma)
        return compound if is_name and not self.lexicon.is_kind_of(compound, head.lemma) else None

    def _group(self, thing: Thing) -> int | None:
        return self.lexicon.group_size(thing.head.lemma)

    def _of_group(self, group: Thing, member: Thing) -> Thing:
        """Reads "a group of people" as people, and "a pair of dogs" as two dogs."""
        count = self._group(group) or None
        return replace(member, start=group.start, count=count, attributes=group.attributes + member.attributes)

    def _placed(self, thing: Thing, relations: _RelationWords) -> Thing:
        leading = any(stop == thing.start and name in _WHERE for name, _, stop in relations)
        return replace(thing, is_place=True) if leading and self.lexicon.is_place(thing.head.lemma) else thing

    def _is_bare_colour(self, words: tuple[TaggedWord, ...], start: int, stop: int) -> bool:
        """Whether a phrase is a colour alone, without a determiner, as in "a man in red": that is no thing."""
        return stop - start == 1 and self.lexicon.is_colour(words[start].lemma)

    def _with_loose_colours(
        self, things: tuple[Thing, ...], words: tuple[TaggedWord, ...], letters: str
    ) -> tuple[Thing, ...]:
        """Gives colours and adjectives outside of noun phrases to the thing before: "dressed in red", "is wet"."""
        covered = {position for thing in things for position in range(thing.start, thing.stop)}
        mended = list(things)
        for position, letter in enumerate(letters):
            owner = max((i for i, thing in enumerate(things) if thing.stop <= position), default=None)
            if position in covered or owner is None or letter not in "JN":
                continue
            word, thing = Word(words[position].lemma, position), mended[owner]
            if self.lexicon.is_colour(word.lemma):
                mended[owner] = replace(thing, colours=(*thing.colours, word))
            elif letter == "J":
                mended[owner] = replace(thing, attributes=(*thing.attributes, word))
        return tuple(mended)


def _letters(words: tuple[TaggedWord, ...]) -> str:
    letters = [next((letter for tag, letter in _LETTERS.items() if word.tag.startswith(tag)), "X") for word in words]
    for i, word in enumerate(words):
        is_participle = word.tag in ("VVG", "VVN") and i + 1 < len(words) and letters[i + 1] in "JN"
        if is_participle and i and letters[i - 1] in "DCJPF":  # "a parked car", "with smoking chimneys"
            letters[i] = "J"
    return "".join(letters)


def _noun_lemma(word: TaggedWord, lexicon: Lexicon) -> str:
    """The lemma, or the word itself where that is a noun and the lemma is mostly something else: "shorts", "pants"."""
    if word.word == word.lemma or not lexicon.knows(word.word, "noun"):
        return word.lemma
    is_noun = lexicon.count(word.lemma, "noun") >= max(
        lexicon.count(word.lemma, "adj"), lexicon.count(word.lemma, "verb")
    )
    return word.lemma if is_noun else word.word


def _count(phrase: tuple[TaggedWord, ...]) -> int | None:
    """How many a phrase names: its number, one for a singular, None for an uncounted plural."""
    for word in phrase:
        if word.tag == "CRD" or word.word in _NUMBERS:
            number = int(word.word) if word.word.isdecimal() else _NUMBERS.get(word.word)
            if number is not None:
                return number
    return None if phrase[-1].tag in ("NN2", "NN0") else 1


def _relation_words(words: tuple[TaggedWord, ...]) -> _RelationWords:
    """Finds words of relation, the longest match first: (name, start, stop)."""
    found, position = [], 0
    while position < len(words):
        for length in range(min(_LONGEST_RELATION, len(words) - position), 0, -1):
            text = " ".join(word.word for word in words[position : position + length])
            if text in _RELATION_WORDS and (length > 1 or words[position].tag in ("PRP", "AVP", "CJS", "AJ0", "AV0")):
                found.append((_RELATION_WORDS[text], position, position + length))
                position += length - 1
                break
        position += 1
    return tuple(found)


def _free(things: tuple[Thing, ...], relations: _RelationWords, letters: str) -> list[bool]:
    """Tells for each thing whether it may be a subject: not behind a preposition or verb, nor joined to such a one."""
    ends = {stop for _, _, stop in relations}
    free: list[bool] = []
    for i, thing in enumerate(things):
        before = letters[thing.start - 1] if thing.start else ""
        is_joined = before == "A" and i > 0 and things[i - 1].stop == thing.start - 1
        is_governed = thing.start in ends or before in tuple("PFV")
        free.append(free[i - 1] if is_joined else not is_governed)
    return free


def _subject(things: tuple[Thing, ...], free: list[bool], position: int) -> int | None:
    """The nearest thing before that no preposition governs; before none, the first one named."""
    before = [i for i, thing in enumerate(things) if thing.stop <= position]
    nearest = [i for i in before if free[i]]
    if nearest:
        return nearest[-1]
    return before[-1] if before else (free.index(True) if True in free else None)


def _relations(
    things: tuple[Thing, ...],
    free: list[bool],
    relations: _RelationWords,
    words: tuple[TaggedWord, ...],
) -> tuple[Relation, ...]:
    stated = []
    for name, start, stop in relations:
        subject = _subject(things, free, start)
        other = next((i for i, thing in enumerate(things) if thing.start == stop), None)
        is_back = " its " in f" {' '.join(word.word for word in words[start:stop])} " or (
            stop < len(words) and words[stop].word in ("it", "him", "her", "them")
        )
        if is_back and subject is not None:  # "a dog with a tree behind it": the tree is behind the dog
            before = [i for i, thing in enumerate(things) if thing.stop <= start]
            introduced = [i for i in before if things[i].start and words[things[i].start - 1].word == "with"]
            nearest = (introduced or before or [0])[-1]
            if nearest > 0:
                stated.append(Relation(name, start, stop, nearest, subject if nearest != subject else 0))
        elif subject is not None and other is not None and subject != other:
            stated.append(Relation(name, start, stop, subject, other))
    return tuple(stated)
