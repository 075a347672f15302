"""A composed scene as values: who, doing what, where, and where in the frame."""

from dataclasses import dataclass
from typing import Literal

from captiongen.data.scenes.world import HELD_OUT, Size

RelationName = Literal["left of", "right of", "in front of", "behind", "above", "on", "chasing", "flying"]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one thing stands; all numbers are fractions of the frame's side.

    Attributes:
        x: horizontal centre.
        base: the ground point below it (y grows downwards).
        height: of the figure.
        lift: how far it hovers over its ground point.
    """

    x: float
    base: float
    height: float
    lift: float = 0.0


@dataclass(frozen=True, slots=True)
class Group:
    """One to three things of one kind that look alike and do the same."""

    kind: str
    colour: str
    size: Size
    action: str
    faces_left: bool
    placements: tuple[Placement, ...] = ()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.placements)


@dataclass(frozen=True, slots=True)
class Relation:
    """How a scene's subject stands to one other thing: "subject NAME other"."""

    name: RelationName
    other: Group


@dataclass(frozen=True, slots=True)
class Scene:
    """A composed scene: one group, alone or in relation to one other thing."""

    ground: str
    sky: str  # "indoors" over a wood floor
    backdrop: str
    horizon: float  # fraction of the frame's height
    subject: Group
    relation: Relation | None = None

    @property
    def groups(self) -> tuple[Group, ...]:
        """The subject, and what it relates to."""
        return (self.subject,) if self.relation is None else (self.subject, self.relation.other)

    @property
    def held_out(self) -> tuple[str, ...]:
        """The combinations in this scene that training never shows, named as in `world.HELD_OUT`."""
        shown = [
            combination
            for group in self.groups
            for combination in (
                f"{group.colour} {group.kind}", f"{group.kind} on {self.ground}", f"{group.kind} {group.action}"
            )
        ]  # fmt: skip
        return tuple(combination for combination in HELD_OUT if combination in shown)
