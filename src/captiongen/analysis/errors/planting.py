"""Plants one error of a chosen type in a correct caption, and says which: how an error finder is itself tested.

Words are exchanged for words of the same kind and form from other captions, so that the result reads as a caption.
"""

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from captiongen.analysis.errors.caption_error import ErrorType
from captiongen.analysis.errors.fact_reader import FactReader
from captiongen.analysis.errors.facts import Facts, Thing
from captiongen.language.lexicon import Kinship
from captiongen.language.tagging import TaggedWord


@dataclass(frozen=True, slots=True)
class Planted:
    """A caption with one error in it.

    Attributes:
        caption: the changed caption, normalised.
        type: of the error.
        positions: of the changed words in `caption`.
        instead: what stood there.
    """

    caption: str
    type: ErrorType
    positions: tuple[int, ...]
    instead: str


#: Sides and what they are exchanged for; several words are one phrase.
_SIDES = {
    "left": "right", "in front of": "behind", "above": "below", "over": "under", "on top of": "under",
    "behind": "in front of", "right": "left", "under": "over", "below": "above",
}  # fmt: skip
_NUMBERS = ("two", "three", "four")
_MIN_CUT_WORDS = 3
# After these words a reader sees that something is missing; a cut elsewhere may leave a whole sentence.
_OPEN_TAGS = ("AT", "DPS", "CJC", "PRF", "VBZ", "VBB")


class Planter:
    """Plants errors, with words that other captions offer.

    Args:
        captions: where words for an exchange come from.
        reader: reads facts.
    """

    def __init__(self, captions: Iterable[str], reader: FactReader) -> None:
        self._reader = reader
        self._lexicon = reader.lexicon
        nouns: set[TaggedWord] = set()
        verbs: set[TaggedWord] = set()
        colours: set[TaggedWord] = set()
        places: set[TaggedWord] = set()
        attributes: set[TaggedWord] = set()
        for caption in captions:
            facts = reader.read(caption)
            for thing in facts.things:
                head = facts.words[thing.head.position]
                if head.tag in ("NN1", "NN2") and self._lexicon.is_visible(head.lemma) and "_" not in thing.head.lemma:
                    (places if thing.is_place else nouns).add(head)
                colours |= {facts.words[colour.position] for colour in thing.colours}
                attributes |= {facts.words[attribute.position] for attribute in thing.attributes}
            verbs |= {facts.words[action.verb.position] for action in facts.actions}
        self._nouns, self._verbs, self._colours, self._places, self._attributes = (
            _ordered(words) for words in (nouns, verbs, colours, places, attributes)
        )
        self._plants: Mapping[ErrorType, Callable[[Facts, random.Random, Collection[str]], Planted | None]] = (
            MappingProxyType(
                {
                    ErrorType.WRONG_OBJECT: self._object,
                    ErrorType.SCENE: self._scene,
                    ErrorType.COLOUR: self._colour,
                    ErrorType.ATTRIBUTE: self._attribute,
                    ErrorType.COUNT: self._count,
                    ErrorType.ACTION: self._action,
                    ErrorType.RELATION: self._side,
                    ErrorType.TRUNCATION: self._cut,
                    ErrorType.REPETITION: self._repeat,
                    ErrorType.GRAMMAR: self._disagreement,
                }
            )
        )

    @property
    def types(self) -> tuple[ErrorType, ...]:
        """The types that can be planted."""
        return tuple(self._plants)

    def plant(
        self, caption: str, kind: ErrorType, rng: random.Random, *, avoid: Collection[str] = frozenset()
    ) -> Planted | None:
        """Returns the caption with one error, or None where it offers no place for one of this type.

        Args:
            caption: a correct caption.
            kind: one of `types`.
            rng: chooses the place and the word.
            avoid: lemmas that would be no error, such as those of other people's captions of the image.
        """
        return self._plants[kind](self._reader.read(caption), rng, avoid)

    def _object(self, facts: Facts, rng: random.Random, avoid: Collection[str]) -> Planted | None:
        things = [one for one in facts.things if not one.is_place and self._lexicon.is_visible(one.head.lemma)]
        return self._exchange_noun(ErrorType.WRONG_OBJECT, facts, things[:1], self._nouns, rng, avoid)

    def _scene(self, facts: Facts, rng: random.Random, avoid: Collection[str]) -> Planted | None:
        places = [one for one in facts.things if one.is_place]
        return self._exchange_noun(ErrorType.SCENE, facts, places[:1], self._places, rng, avoid)

    def _exchange_noun(
        self,
        kind: ErrorType,
        facts: Facts,
        things: Sequence[Thing],
        pool: Sequence[TaggedWord],
        rng: random.Random,
        avoid: Collection[str],
    ) -> Planted | None:
        for thing in things:
            head = facts.words[thing.head.position]
            for word in rng.sample(pool, len(pool)):
                if word.tag == head.tag and self._is_other(word.lemma, head.lemma, avoid):
                    return _exchange(facts, kind, thing.head.position, thing.head.position + 1, word.word)
        return None

    def _is_other(self, lemma: str, own: str, avoid: Collection[str]) -> bool:
        return all(self._lexicon.kinship(lemma, word, "noun") < Kinship.KIND for word in {own, *avoid})

    def _colour(self, facts: Facts, rng: random.Random, avoid: Collection[str]) -> Planted | None:
        colours = [colour for thing in facts.things if len(thing.colours) == 1 for colour in thing.colours]
        if not colours:
            return None
        colour = rng.choice(colours)
        others = [
            word.word for word in self._colours
            if not any(self._lexicon.same_colour(word.lemma, known) for known in {colour.lemma, *avoid})
        ]  # fmt: skip
        return (
            _exchange(facts, ErrorType.COLOUR, colour.position, colour.position + 1, rng.choice(others))
            if others
            else None
        )

    def _attribute(self, facts: Facts, rng: random.Random, avoid: Collection[str]) -> Planted | None:
        """Says the opposite: "a small dog" of a big one."""
        described = [attribute for thing in facts.things for attribute in thing.attributes]
        for attribute in rng.sample(described, len(described)):
            opposites = [
                word.word for word in self._attributes
                if word.lemma not in avoid and self._lexicon.are_opposites(attribute.lemma, word.lemma)
            ]  # fmt: skip
            if opposites:
                position = attribute.position
                return _exchange(facts, ErrorType.ATTRIBUTE, position, position + 1, rng.choice(opposites))
        return None

    def _count(self, facts: Facts, rng: random.Random, avoid: Collection[str]) -> Planted | None:
        counted = [
            thing for thing in facts.things
            if facts.words[thing.start].word in _NUMBERS and thing.start < thing.head.position
        ]  # fmt: skip
        if not counted:
            return None
        start = rng.choice(counted).start
        others = [number for number in _NUMBERS if number != facts.words[start].word and number not in avoid]
        return _exchange(facts, ErrorType.COUNT, start, start + 1, rng.choice(others)) if others else None

    def _action(self, facts: Facts, rng: random.Random, avoid: Collection[str]) -> Planted | None:
        verbs = [action.verb for action in facts.actions if action.verb.lemma not in ("wear", "dress")]
        if len(verbs) != 1:  # beside another one that stays, the caption would still say what people say
            return None
        own = facts.words[verbs[0].position]
        known = {own.lemma, *avoid}
        for word in rng.sample(self._verbs, len(self._verbs)):
            if word.tag == own.tag and all(
                self._lexicon.kinship(word.lemma, one, "verb") < Kinship.KIND for one in known
            ):
                return _exchange(facts, ErrorType.ACTION, verbs[0].position, verbs[0].position + 1, word.word)
        return None

    def _side(self, facts: Facts, rng: random.Random, avoid: Collection[str]) -> Planted | None:
        del avoid
        words = [word.word for word in facts.words]
        for relation in rng.sample(facts.relations, len(facts.relations)):
            said = " ".join(words[relation.start : relation.stop])
            for side, other in _SIDES.items():
                if side == said or (side in ("left", "right") and side in said.split()):
                    start = relation.start + (said.split().index(side) if side != said else 0)
                    return _exchange(facts, ErrorType.RELATION, start, start + len(side.split()), other)
        return None

    def _cut(self, facts: Facts, rng: random.Random, avoid: Collection[str]) -> Planted | None:
        del avoid
        places = [
            i + 1 for i, word in enumerate(facts.words[:-1])
            if word.tag.startswith(_OPEN_TAGS) and i + 1 >= _MIN_CUT_WORDS
        ]  # fmt: skip
        if not places:
            return None
        stop = rng.choice(places)
        words = [word.word for word in facts.words]
        return Planted(" ".join(words[:stop]), ErrorType.TRUNCATION, (stop - 1,), " ".join(words[stop:]))

    def _repeat(self, facts: Facts, rng: random.Random, avoid: Collection[str]) -> Planted | None:
        """Says a thing twice, as a search without a guard does: "a dog and a dog", "in a red shirt in a red shirt"."""
        del avoid
        if not facts.things:
            return None
        thing = rng.choice(facts.things)
        words = [word.word for word in facts.words]
        start = thing.start - (1 if thing.start and words[thing.start - 1] in ("in", "on", "with") else 0)
        phrase = words[start : thing.stop]
        joint = [] if start < thing.start or len(phrase) == 1 else ["and"]
        caption = " ".join([*words[: thing.stop], *joint, *phrase, *words[thing.stop :]])
        again = thing.stop + len(joint)
        return Planted(caption, ErrorType.REPETITION, tuple(range(again, again + len(phrase))), "")

    def _disagreement(self, facts: Facts, rng: random.Random, avoid: Collection[str]) -> Planted | None:
        """Leaves the singular behind a number: "two dog"."""
        del avoid
        things = [
            thing for thing in facts.things
            if facts.words[thing.start].word in _NUMBERS and facts.words[thing.head.position].tag == "NN2"
            and facts.words[thing.head.position].lemma != facts.words[thing.head.position].word
        ]  # fmt: skip
        if not things:
            return None
        position = rng.choice(things).head.position
        return _exchange(facts, ErrorType.GRAMMAR, position, position + 1, facts.words[position].lemma)


def _exchange(facts: Facts, kind: ErrorType, start: int, stop: int, phrase: str) -> Planted:
    words = [word.word for word in facts.words]
    new = phrase.split()
    caption = " ".join([*words[:start], *new, *words[stop:]])
    return Planted(caption, kind, tuple(range(start, start + len(new))), " ".join(words[start:stop]))


def _ordered(words: Iterable[TaggedWord]) -> tuple[TaggedWord, ...]:
    return tuple(sorted(words, key=lambda word: (word.word, word.tag, word.lemma)))
