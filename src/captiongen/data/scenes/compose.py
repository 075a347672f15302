"""Composes one scene: draws who, doing what and where, until everything fits the frame."""

import random
from collections.abc import Mapping

from captiongen.data.scenes.placement import place_alone, place_pair
from captiongen.data.scenes.scene import Group, Relation, RelationName, Scene
from captiongen.data.scenes.world import (
    BACKDROPS,
    BEHIND,
    CHASED,
    FLYERS,
    GROUNDS,
    KINDS,
    PEOPLE,
    SKIES,
    SUPPORTS,
    Size,
)

#: Relations that few kinds can have, or that seldom fit the frame, are drawn more often to make up for it.
_RELATION_WEIGHTS: Mapping[RelationName, int] = {"chasing": 5, "flying": 5, "in front of": 2, "behind": 2}


def compose_scene(rng: random.Random, *, novelty: str | None = None) -> Scene:
    """Draws scenes until one fits the frame and shows the held-out combination `novelty`, or none at all."""
    while True:
        scene = _try_scene(rng)
        if scene is not None and (novelty in scene.held_out if novelty else not scene.held_out):
            return scene


def _try_scene(rng: random.Random) -> Scene | None:
    ground = _choose(rng, GROUNDS)
    is_indoors = ground == "wood floor"
    sky = "indoors" if is_indoors else _choose(rng, SKIES)
    backdrop = "none" if is_indoors else rng.choice(BACKDROPS)
    horizon = rng.uniform(0.28, 0.52)
    kind = rng.choice([name for name, kind in KINDS.items() if ground in kind.actions])
    relation, other_kind = _choose_relation(rng, kind, ground)
    subject = _draw_group(rng, kind, ground, relation, is_subject=True)
    if relation is None or other_kind is None:
        placed = place_alone(rng, subject, horizon)
        return None if placed is None else Scene(ground, sky, backdrop, horizon, placed)
    other = _draw_group(rng, other_kind, ground, relation, is_subject=False)
    pair = place_pair(rng, subject, relation, other, horizon)
    return None if pair is None else Scene(ground, sky, backdrop, horizon, pair[0], Relation(relation, pair[1]))


def _choose(rng: random.Random, weights: Mapping[str, int]) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]


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
    relation, kinds = rng.choices(options, [_RELATION_WEIGHTS.get(name, 1) for name, _ in options])[0]
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
