"""What an image is like, as named properties: what people say of it, how they say it, and what the picture is.

A property is a group and a value, "topic: animals"; the images that have it are a slice. Numbers are cut into thirds of
the split, so that each has the support to say something.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from captiongen.analysis.errors.corpus import CaptionCorpus, is_content
from captiongen.analysis.errors.fact_reader import FactReader
from captiongen.analysis.errors.facts import Facts
from captiongen.types import Captions

#: What a topic's things are kinds of in WordNet, in the first meaning of these words.
TOPICS: Mapping[str, tuple[str, ...]] = {
    "people": ("person",), "children": ("child", "boy", "girl", "baby"), "dogs": ("dog",), "animals": ("animal",),
    "vehicles": ("vehicle",), "water": ("body_of_water", "water", "pool", "wave"), "snow and ice": ("snow", "ice"),
    "sport": ("sport", "sports_equipment", "game_equipment", "athlete", "player", "snowboard", "surfboard"),
    "mountains": ("geological_formation",), "plants": ("grass", "vascular_plant"),
    "streets": ("road", "sidewalk", "path", "track"), "buildings": ("building",), "clothing": ("clothing",),
    "food": ("baked_goods", "dish", "beverage", "produce", "meal"), "furniture": ("furniture",),
    "music": ("musical_instrument",),
}  # fmt: skip
# Who says it, of five people, for a topic, a colour or an action to be a property of the image.
_MIN_SHARE = 0.4
# Of all training images of which a rare word is said, at most.
_RARE_SHARE = 0.001
_MANY = 3


@dataclass(frozen=True, slots=True, order=True)
class Property:
    """Something that an image is or is not, such as topic: dogs."""

    group: str
    value: str

    def __str__(self) -> str:
        return f"{self.group}: {self.value}"


#: Property -> whether each image has it, (images,).
Members = Mapping[Property, npt.NDArray[np.bool_]]


def text_properties(references: Captions, reader: FactReader, corpus: CaptionCorpus | None = None) -> Members:
    """Finds what people say of each image.

    Args:
        references: image id -> captions; the order of the images is that of the answer.
        reader: reads facts.
        corpus: the captions of the training data: what is rare; without it that is not asked.
    """
    facts = [[reader.read(text) for text in texts] for texts in references.values()]
    named = [_named(of_one, reader, corpus) for of_one in facts]
    lengths = [float(np.mean([len(one.words) for one in of_one])) for of_one in facts]
    return {
        **{one: np.array([one in names for names in named]) for one in sorted(set().union(*named))},
        **thirds("people's captions", np.array(lengths), ("short", "middling", "long")),
    }


def thirds(group: str, values: npt.NDArray[np.float64], names: Sequence[str]) -> Members:
    """Cuts numbers into three slices of about the same size; numbers that nobody knows (NaN) are in none.

    Args:
        group: what is measured.
        values: (images,).
        names: of the low, the middle and the high third.
    """
    known = values[~np.isnan(values)]
    if not len(known) or np.ptp(known) == 0:
        return {}
    low, high = np.quantile(known, (1 / 3, 2 / 3))
    masks = (values <= low, (values > low) & (values <= high), values > high)
    return {Property(group, name): mask for name, mask in zip(names, masks, strict=True)}


def labelled(group: str, labels: Sequence[str]) -> Members:
    """One slice for each label, (images,)."""
    values = np.array(labels)
    return {Property(group, label): values == label for label in sorted(set(labels))}


def _named(facts: Sequence[Facts], reader: FactReader, corpus: CaptionCorpus | None) -> frozenset[Property]:
    """The properties that enough of an image's references agree on."""
    said = Counter(
        name
        for one in facts
        for name in (
            {Property("topic", topic) for topic in _topics(one, reader)}
            | {Property("colour", colour.lemma) for thing in one.things for colour in thing.colours}
            | {Property("action", action.verb.lemma) for action in one.actions}
        )
    )
    found = {name for name, count in said.items() if count >= max(1.0, _MIN_SHARE * len(facts))}
    if counts := Counter(_how_many(one) for one in facts if one.things):
        found.add(Property("how many", counts.most_common(1)[0][0]))
    if corpus is not None:
        num_rare = sum(_has_rare_word(one, corpus) for one in facts)
        found.add(Property("rare words", "yes" if num_rare >= _MIN_SHARE * len(facts) else "no"))
    return frozenset(found)


def _has_rare_word(facts: Facts, corpus: CaptionCorpus) -> bool:
    return any(is_content(word.word, word.tag) and corpus.share(word.lemma) < _RARE_SHARE for word in facts.words)


def _topics(facts: Facts, reader: FactReader) -> set[str]:
    lemmas = {thing.head.lemma for thing in facts.things}
    is_kind_of = reader.lexicon.is_kind_of
    return {topic for topic, kinds in TOPICS.items() if any(is_kind_of(one, kind) for one in lemmas for kind in kinds)}


def _how_many(facts: Facts) -> str:
    """How many the caption is about: of the first thing named and those joined to it, "a man and a woman"."""
    first, *others = facts.things
    total, stop = first.count, first.stop
    for thing in others:
        if facts.words[stop].word != "and" or thing.start != stop + 1:
            break
        total = None if total is None or thing.count is None else total + thing.count
        stop = thing.stop
    return str(total) if total is not None and total < _MANY else f"{_MANY} or more"
