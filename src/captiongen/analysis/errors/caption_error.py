"""An error of a caption: its type, its words, and what people say instead."""

from dataclasses import dataclass
from enum import StrEnum


class ErrorType(StrEnum):
    """What can be wrong with a caption."""

    WRONG_OBJECT = "wrong object"
    MISSING_OBJECT = "missing object"
    HALLUCINATED_OBJECT = "hallucinated object"
    ATTRIBUTE = "attribute"
    COLOUR = "colour"
    COUNT = "count"
    ACTION = "action"
    RELATION = "relation"
    SCENE = "scene"
    GRAMMAR = "grammar"
    REPETITION = "repetition"
    TRUNCATION = "truncation"
    GENERIC = "generic"
    COPIED = "copied"


@dataclass(frozen=True, slots=True)
class CaptionError:
    """One error.

    Attributes:
        type: its name.
        positions: of the words it concerns in the normalised caption; none where something is missing.
        said: these words.
        instead: what the references say, the most frequent first; empty for errors of wording.
        support: share of the references that say so, 0..1; 1 for errors of wording.
    """

    type: ErrorType
    positions: tuple[int, ...]
    said: str
    instead: tuple[str, ...] = ()
    support: float = 1.0

    def __str__(self) -> str:
        """Its type, its words, and what people say instead."""
        said = f" {self.said}" if self.said else ""
        instead = f" ({', '.join(self.instead)})" if self.instead else ""
        return f"{self.type.value}:{said}{instead}"
