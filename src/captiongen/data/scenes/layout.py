"""Composes one scene: who, doing what, where, and where in the frame."""

import random
from dataclasses import dataclass
from typing import Literal

from captiongen.data.scenes.figures import ASPECTS
from captiongen.data.scenes.world import (
    BACKDROPS,
    BEHIND,
    CHASED,
    FLYERS,
    GROUNDS,
    HELD_OUT_ACTIONS,
    HELD_OUT_COLOURS,
    HELD_OUT_GROUNDS,
    KINDS,
    PEOPLE,
    SIZE_FACTORS,
    SKIES,
    SUPPORTS,
    Size,
)

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
        """The combinations in this scene that training never shows, in words."""
        found = []
        for group in self.groups:
            if (group.colour, group.kind) in HELD_OUT_COLOURS:
                found.append(f"{group.colour} {group.kind}")
            if (group.kind, self.ground) in HELD_OUT_GROUNDS:
                found.append(f"{group.kind} on {self.ground}")
            if (group.kind, group.action) in HELD_OUT_ACTIONS:
                found.append(f"{group.kind} {group.action}")
        return tuple(found)


def compose_scene(rng: random.Random, *, is_novel: bool) -> Scene:
    """Draws scenes until one fits the frame and shows held-out combinations exactly when `is_novel` asks for them."""
    while True:
        scene = _try_scene(rng)
        if scene is not None and bool(scene.held_out) == is_novel:
            return scene


def _try_scene(rng: random.Random) -> Scene | None:
    ground = rng.choice(GROUNDS)
    is_indoors = ground == "wood floor"
    sky = "indoors" if is_indoors else rng.choice(SKIES)
    backdrop = "none" if is_indoors else rng.choice(BACKDROPS)
    horizon = rng.uniform(0.28, 0.52)
    kind = rng.choice([name for name, kind in KINDS.items() if ground in kind.actions])
    relation, other_kind = _choose_relation(rng, kind, ground)
    subject = _draw_group(rng, kind, ground, relation, is_subject=True)
    if relation is None or other_kind is None:
        placed = _place_row(rng, subject, rng.choice((1, 1, 2, 3)), horizon)
        return None if placed is None else Scene(ground, sky, backdrop, horizon, placed)
    other = _draw_group(rng, other_kind, ground, relation, is_subject=False)
    pair = _place_pair(rng, subject, relation, other, horizon)
    return None if pair is None else Scene(ground, sky, backdrop, horizon, pair[0], Relation(relation, pair[1]))


def _choose_relation(rng: random.Random, kind: str, ground: str) -> tuple[RelationName | None, str | None]:
    """A relation that this kind can stand in on this ground, and the other's kind; (None, None) for a lone group."""
    here = [name for name, other in KINDS.items() if ground in other.actions and name != kind]
    grounded = [name for name in here if name not in FLYERS]
    options: list[tuple[RelationName, list[str]]] = []
    if kind in FLYERS:
        options.append(("above", grounded))
    else:
        options += [("left of", grounded), ("right of", grounded)]
        options.append(("in front of", [back for back in BEHIND if kind in BEHIND[back] and back in here]))
        options.append(("behind", [front for front in BEHIND.get(kind, ()) if front in here]))
    if ground != "water":
        options.append(("on", [base for base in SUPPORTS if kind in SUPPORTS[base] and base in here]))
        options.append(("chasing", [prey for prey in CHASED.get(kind, ()) if prey in here and ground != "wood floor"]))
    if kind in PEOPLE and ground != "water":
        options.append(("flying", [name for name in here if name == "kite"]))
    options = [option for option in options if option[1]]
    if not options or rng.random() < 0.35:
        return None, None
    relation, kinds = rng.choice(options)
    return relation, rng.choice(kinds)


def _draw_group(
    rng: random.Random, name: str, ground: str, relation: RelationName | None, *, is_subject: bool
) -> Group:
    kind = KINDS[name]
    actions = list(kind.actions[ground])
    if relation == "chasing":
        actions = ["rolling"] if name == "ball" else ["running"]
    elif relation == "flying":
        actions = ["standing", "running"] if is_subject else ["flying"]
        actions = [action for action in actions if action in kind.actions[ground]]
    elif relation == "above" and is_subject:
        actions = ["flying"]
    elif relation == "on":
        still = ("standing", "sitting", "sleeping", "lying", "steaming", "parked", "smoking")
        actions = [action for action in actions if action in still]
    elif name == "bird" and relation is not None:
        actions = [action for action in actions if action != "flying"]
    size: Size = "medium" if relation in ("on", "behind", "in front of") else rng.choice(kind.sizes)
    return Group(name, rng.choice(kind.colours), size, rng.choice(actions), rng.random() < 0.5)


def _height(rng: random.Random, group: Group) -> float:
    return KINDS[group.kind].height * SIZE_FACTORS[group.size] * rng.uniform(0.95, 1.05)


def _width(group: Group, height: float) -> float:
    return ASPECTS[group.kind] * height


def _lift(rng: random.Random, group: Group) -> float:
    if group.action in ("jumping", "bouncing"):
        return rng.uniform(0.12, 0.2)
    return 0.0


def _place_row(rng: random.Random, group: Group, count: int, horizon: float) -> Group | None:
    """Sets `count` things side by side, a little uneven."""
    count = min(count, KINDS[group.kind].max_count)
    height = _height(rng, group)
    step = _width(group, height) * 1.08
    span = step * count
    if span > 0.98:
        return None
    left = rng.uniform(0.01, 0.99 - span)
    is_flying = group.action == "flying"
    base = rng.uniform(max(horizon + 0.12, height * 0.75 + 0.05), 0.95)
    top = rng.uniform(0.05, 0.3)
    lift = _lift(rng, group)
    placements = []
    for index in range(count):
        own_base = min(base + rng.uniform(-0.03, 0.03), 0.97)
        own_lift = own_base - (top + height + rng.uniform(-0.04, 0.04)) if is_flying else lift
        placements.append(Placement(left + step * (index + 0.5), own_base, height, max(own_lift, 0.0)))
    return _with(group, placements)


def _with(group: Group, placements: list[Placement], *, faces_left: bool | None = None) -> Group:
    facing = group.faces_left if faces_left is None else faces_left
    return Group(group.kind, group.colour, group.size, group.action, facing, tuple(placements))


def _place_pair(
    rng: random.Random, subject: Group, relation: RelationName, other: Group, horizon: float
) -> tuple[Group, Group] | None:
    place = {
        "left of": _place_beside,
        "right of": _place_beside,
        "chasing": _place_beside,
        "in front of": _place_in_depth,
        "behind": _place_in_depth,
        "above": _place_above,
        "on": _place_on,
        "flying": _place_kite,
    }[relation]
    return place(rng, subject, relation, other, horizon)


def _place_beside(
    rng: random.Random, subject: Group, relation: RelationName, other: Group, horizon: float
) -> tuple[Group, Group] | None:
    height, other_height = _height(rng, subject), _height(rng, other)
    width, other_width = _width(subject, height), _width(other, other_height)
    count = min(rng.choice((1, 1, 2, 3)), KINDS[subject.kind].max_count)
    gap = rng.uniform(0.04, 0.1)
    span = width * count + gap + other_width
    if span > 0.98:
        return None
    subject_is_left = rng.random() < 0.5 if relation == "chasing" else relation == "left of"
    start = rng.uniform(0.01, 0.99 - span)
    subject_start, other_start = (
        (start, start + width * count + gap) if subject_is_left else (start + other_width + gap, start)
    )
    base = rng.uniform(max(horizon + 0.14, 0.75 * max(height, other_height)), 0.94)
    lift, other_lift = _lift(rng, subject), _lift(rng, other)
    placements = [
        Placement(subject_start + width * (index + 0.5), base + rng.uniform(-0.02, 0.02), height, lift)
        for index in range(count)
    ]
    facing = None if relation != "chasing" else not subject_is_left
    other_placement = Placement(
        other_start + other_width / 2, base + rng.uniform(-0.02, 0.02), other_height, other_lift
    )
    return _with(subject, placements, faces_left=facing), _with(other, [other_placement], faces_left=facing)


def _place_in_depth(
    rng: random.Random, subject: Group, relation: RelationName, other: Group, horizon: float
) -> tuple[Group, Group] | None:
    front, back = (subject, other) if relation == "in front of" else (other, subject)
    front_height, back_height = _height(rng, front) * 0.9, _height(rng, back) * 1.1
    front_width, back_width = _width(front, front_height), _width(back, back_height)
    back_base = rng.uniform(horizon + 0.1, horizon + 0.2)
    front_base = back_base + rng.uniform(0.2, 0.27)
    if front_base > 0.97 or max(front_width, back_width) > 0.95:
        return None
    back_x = rng.uniform(back_width / 2 + 0.01, 0.99 - back_width / 2)
    front_x = back_x + rng.uniform(-0.35, 0.35) * back_width
    front_x = min(max(front_x, front_width / 2 + 0.01), 0.99 - front_width / 2)
    placed_front = _with(front, [Placement(front_x, front_base, front_height, _lift(rng, front) * 0.6)])
    placed_back = _with(back, [Placement(back_x, back_base, back_height, _lift(rng, back) * 0.6)])
    return (placed_front, placed_back) if relation == "in front of" else (placed_back, placed_front)


def _place_above(
    rng: random.Random, subject: Group, relation: RelationName, other: Group, horizon: float
) -> tuple[Group, Group] | None:
    height, other_height = _height(rng, subject), _height(rng, other) * 0.85
    width, other_width = _width(subject, height), _width(other, other_height)
    base = rng.uniform(max(horizon + 0.12, 0.7), 0.96)
    top = rng.uniform(0.02, 0.12)
    other_lift = _lift(rng, other) * 0.4
    if top + height + 0.04 > base - other_height - other_lift or other_width > 0.95:
        return None
    other_x = rng.uniform(other_width / 2 + 0.01, 0.99 - other_width / 2)
    x = min(max(other_x + rng.uniform(-0.1, 0.1), width / 2 + 0.01), 0.99 - width / 2)
    return (
        _with(subject, [Placement(x, base, height, base - top - height)]),
        _with(other, [Placement(other_x, base, other_height, other_lift)]),
    )


#: Where a support's upper face lies, as a fraction of its height from its top.
_TOP_FACES = {"box": 0.12, "car": 0.06, "house": 0.02}


def _place_on(
    rng: random.Random, subject: Group, relation: RelationName, other: Group, horizon: float
) -> tuple[Group, Group] | None:
    other_height = _height(rng, other) * (1.35 if other.kind == "box" else 1.0)
    height = _height(rng, subject) * 0.85
    other_width = _width(other, other_height)
    base = rng.uniform(max(horizon + 0.12, other_height + height + 0.03), 0.96)
    if base > 0.96 or other_width > 0.95:
        return None
    x = rng.uniform(other_width / 2 + 0.01, 0.99 - other_width / 2)
    lift = other_height * (1 - _TOP_FACES[other.kind])
    return (
        _with(subject, [Placement(x, base, height, lift)]),
        _with(other, [Placement(x, base, other_height)]),
    )


def _place_kite(
    rng: random.Random, subject: Group, relation: RelationName, other: Group, horizon: float
) -> tuple[Group, Group] | None:
    height, kite_height = _height(rng, subject), _height(rng, other)
    base = rng.uniform(max(horizon + 0.14, 0.8), 0.96)
    top = rng.uniform(0.02, 0.1)
    is_left = rng.random() < 0.5
    x, kite_x = rng.uniform(0.16, 0.3), rng.uniform(0.62, 0.84)
    if is_left:
        x, kite_x = 1 - x, 1 - kite_x
    return (
        _with(subject, [Placement(x, base, height)], faces_left=is_left),
        _with(other, [Placement(kite_x, base, kite_height, base - top - kite_height)], faces_left=is_left),
    )
