"""What a caption states, as values: things with number and colour, what they do, how and where they stand."""

from collections.abc import Mapping
from dataclasses import dataclass

from captiongen.language.tagging import TaggedWord

#: relation -> the one that says the same with subject and other exchanged.
INVERSES: Mapping[str, str] = {
    "left": "right", "right": "left", "front": "behind", "behind": "front", "over": "under", "under": "over",
    "near": "near",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Word:
    """A lemma and the position of its word in the normalised caption."""

    lemma: str
    position: int


@dataclass(frozen=True, slots=True)
class Thing:
    """What a noun phrase names.

    Attributes:
        head: the noun; "people" in "a group of people".
        start: position of the phrase's first word.
        stop: position after its last word.
        count: how many; None for several that nobody counted.
        colours: colour words said of it.
        attributes: its other adjectives and nouns in front of it.
        is_place: it says where: "in the snow".
    """

    head: Word
    start: int
    stop: int
    count: int | None
    colours: tuple[Word, ...] = ()
    attributes: tuple[Word, ...] = ()
    is_place: bool = False


@dataclass(frozen=True, slots=True)
class Action:
    """What somebody does; `subject` is a position in `Facts.things`, None where the caption names nobody."""

    verb: Word
    subject: int | None


@dataclass(frozen=True, slots=True)
class Relation:
    """How two things stand to each other, "subject NAME other", both positions in `Facts.things`.

    `start` and `stop` are the positions of the words that say it.
    """

    name: str
    start: int
    stop: int
    subject: int
    other: int


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a caption states; positions count the words of the normalised caption."""

    words: tuple[TaggedWord, ...]
    things: tuple[Thing, ...]
    actions: tuple[Action, ...]
    relations: tuple[Relation, ...]
