"""Puts the figures of a scene into the frame so that their relation shows. Lengths are fractions of the frame."""

import random
from dataclasses import replace

from captiongen.data.scenes.figures import ASPECTS
from captiongen.data.scenes.scene import Group, Placement, RelationName
from captiongen.data.scenes.world import KINDS, SIZE_FACTORS

_EDGE = 0.01  # least distance from the frame's left and right
_LOWEST = 0.97  # ground points lie above this
_HEADROOM = 0.02

#: Where a support's upper face lies, as a fraction of its height from its top.
_TOP_FACES = {"box": 0.12, "car": 0.06, "house": 0.02}

Pair = tuple[Group, Group]


def place_alone(rng: random.Random, group: Group, horizon: float) -> Group | None:
    """Sets one to three things side by side, a little uneven; None when they do not fit."""
    height = _height(rng, group)
    step = _width(group, height) * 1.08
    count = _count(rng, group)
    left = _start(rng, step * count)
    lift = _lift(rng, group)
    base = _base(rng, horizon, height + lift)
    if left is None or base is None:
        return None
    top = rng.uniform(0.05, 0.3)
    placements = []
    for index in range(count):
        own_base = base + rng.uniform(-0.025, 0.025)
        if group.action == "flying":
            lift = max(own_base - height - top - rng.uniform(-0.04, 0.04), 0.0)
        placements.append(Placement(left + step * (index + 0.5), own_base, height, lift))
    return replace(group, placements=tuple(placements))


def place_pair(rng: random.Random, subject: Group, relation: RelationName, other: Group, horizon: float) -> Pair | None:
    """Places two groups in a relation: "subject RELATION other"; None when they do not fit."""
    match relation:
        case "left of" | "right of":
            return _beside(rng, subject, other, horizon, subject_is_left=relation == "left of")
        case "chasing":
            return _chasing(rng, subject, other, horizon)
        case "in front of":
            return _in_depth(rng, subject, other, horizon)
        case "behind":
            pair = _in_depth(rng, other, subject, horizon)
            return None if pair is None else (pair[1], pair[0])
        case "above":
            return _above(rng, subject, other, horizon)
        case "on":
            return _on(rng, subject, other, horizon)
        case "flying":
            return _flying(rng, subject, other)


def _beside(rng: random.Random, subject: Group, other: Group, horizon: float, *, subject_is_left: bool) -> Pair | None:
    height, other_height = _height(rng, subject), _height(rng, other)
    width, other_width = _width(subject, height), _width(other, other_height)
    lift, other_lift = _lift(rng, subject), _lift(rng, other)
    count = _count(rng, subject)
    gap = rng.uniform(0.04, 0.1)
    left = _start(rng, width * count + gap + other_width)
    base = _base(rng, horizon, max(height + lift, other_height + other_lift))
    if left is None or base is None:
        return None
    start = left if subject_is_left else left + other_width + gap
    other_x = (left + width * count + gap if subject_is_left else left) + other_width / 2
    placements = tuple(
        Placement(start + width * (index + 0.5), base + rng.uniform(-0.02, 0.02), height, lift)
        for index in range(count)
    )
    other_placement = Placement(other_x, base + rng.uniform(-0.02, 0.02), other_height, other_lift)
    return replace(subject, placements=placements), replace(other, placements=(other_placement,))


def _chasing(rng: random.Random, subject: Group, other: Group, horizon: float) -> Pair | None:
    is_leftward = rng.random() < 0.5
    facing = replace(subject, faces_left=is_leftward), replace(other, faces_left=is_leftward)
    return _beside(rng, *facing, horizon, subject_is_left=not is_leftward)


def _in_depth(rng: random.Random, front: Group, back: Group, horizon: float) -> Pair | None:
    front_height, back_height = _height(rng, front) * 0.9, _height(rng, back)
    nearest_horizon = max(horizon + 0.1, back_height + _HEADROOM)
    back_base = rng.uniform(nearest_horizon, nearest_horizon + 0.08)
    front_base = back_base + rng.uniform(0.18, 0.27)
    back_x = _centre(rng, _width(back, back_height))
    if front_base > _LOWEST or back_x is None:
        return None
    wanted = back_x + rng.uniform(-0.35, 0.35) * _width(back, back_height)
    front_x = _clamped(wanted, _width(front, front_height))
    return (
        _with(front, Placement(front_x, front_base, front_height, _lift(rng, front) * 0.6)),
        _with(back, Placement(back_x, back_base, back_height)),
    )


def _above(rng: random.Random, subject: Group, other: Group, horizon: float) -> Pair | None:
    height, other_height = _height(rng, subject), _height(rng, other)
    top = rng.uniform(0.02, 0.12)
    other_lift = _lift(rng, other) * 0.5
    base = _base(rng, horizon, top + height + 0.02 + other_height + other_lift)
    other_x = _centre(rng, _width(other, other_height))
    if base is None or other_x is None:
        return None
    x = _clamped(other_x + rng.uniform(-0.1, 0.1), _width(subject, height))
    return (
        _with(subject, Placement(x, base, height, base - top - height)),
        _with(other, Placement(other_x, base, other_height, other_lift)),
    )


def _on(rng: random.Random, subject: Group, other: Group, horizon: float) -> Pair | None:
    height = _height(rng, subject) * 0.85
    other_height = _height(rng, other) * (1.35 if other.kind == "box" else 1.0)
    base = _base(rng, horizon, other_height + height)
    x = _centre(rng, _width(other, other_height))
    if base is None or x is None:
        return None
    lift = other_height * (1 - _TOP_FACES[other.kind])
    return _with(subject, Placement(x, base, height, lift)), _with(other, Placement(x, base, other_height))


def _flying(rng: random.Random, subject: Group, kite: Group) -> Pair:
    """A person low on one side, the kite high on the other; the string needs the room between."""
    height, kite_height = _height(rng, subject), _height(rng, kite)
    base, top = rng.uniform(0.82, 0.96), rng.uniform(0.02, 0.1)
    x, kite_x = max(rng.uniform(0.16, 0.3), _width(subject, height) / 2), rng.uniform(0.62, 0.84)
    is_leftward = rng.random() < 0.5
    if is_leftward:
        x, kite_x = 1 - x, 1 - kite_x
    return (
        replace(_with(subject, Placement(x, base, height)), faces_left=is_leftward),
        _with(kite, Placement(kite_x, base, kite_height, base - top - kite_height)),
    )


def _with(group: Group, placement: Placement) -> Group:
    return replace(group, placements=(placement,))


def _height(rng: random.Random, group: Group) -> float:
    return KINDS[group.kind].height * SIZE_FACTORS[group.size] * rng.uniform(0.95, 1.05)


def _width(group: Group, height: float) -> float:
    return ASPECTS[group.kind] * height


def _count(rng: random.Random, group: Group) -> int:
    return min(rng.choice((1, 1, 2, 3)), KINDS[group.kind].max_count)


def _lift(rng: random.Random, group: Group) -> float:
    return rng.uniform(0.12, 0.2) if group.action in ("jumping", "bouncing") else 0.0


def _start(rng: random.Random, span: float) -> float | None:
    """Where a row of things begins, None when it is wider than the frame."""
    room = 1 - 2 * _EDGE - span
    return None if room < 0 else _EDGE + rng.uniform(0, room)


def _centre(rng: random.Random, width: float) -> float | None:
    start = _start(rng, width)
    return None if start is None else start + width / 2


def _clamped(x: float, width: float) -> float:
    return min(max(x, width / 2 + _EDGE), 1 - width / 2 - _EDGE)


def _base(rng: random.Random, horizon: float, height: float) -> float | None:
    """A ground point in front of the horizon, low enough for what stands there; None when there is none."""
    highest = max(horizon + 0.13, height + _HEADROOM)
    return None if highest > _LOWEST else rng.uniform(highest, _LOWEST)
