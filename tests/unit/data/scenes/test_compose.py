"""Composed scenes hold together: their relations show, they fit the frame, and held-out combinations stay out."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captiongen.data.scenes.compose import compose_scene
from captiongen.data.scenes.figures import ASPECTS
from captiongen.data.scenes.scene import Group, Scene
from captiongen.data.scenes.world import BEHIND, COLOURS, HELD_OUT, KINDS, SUPPORTS

scenes = st.integers(min_value=0, max_value=10**6).map(lambda seed: compose_scene(random.Random(seed)))


@given(scenes)
def test_a_familiar_scene_shows_nothing_held_out(scene: Scene):
    """A scene without a wanted combination shows none of the held-out ones."""
    assert scene.held_out == ()


@pytest.mark.parametrize("combination", HELD_OUT)
def test_every_held_out_combination_can_be_drawn(combination: str):
    """A scene that must show a held-out combination does."""
    assert combination in compose_scene(random.Random(1), novelty=combination).held_out


@given(scenes)
def test_things_are_and_do_only_what_their_kind_can(scene: Scene):
    """Colours, actions on this ground, sizes and counts are among those of the kind."""
    for group in scene.groups:
        kind = KINDS[group.kind]
        assert group.colour in kind.colours
        assert group.action in kind.actions[scene.ground]
        assert group.size in kind.sizes
        assert 1 <= group.count <= kind.max_count


@given(scenes)
def test_things_fit_the_frame(scene: Scene):
    """No thing leaves the frame to the left, right or bottom, and none stands above the horizon."""
    for group in scene.groups:
        for placement in group.placements:
            half = ASPECTS[group.kind] * placement.height / 2
            assert placement.x - half >= -0.001
            assert placement.x + half <= 1.001
            assert scene.horizon < placement.base <= 1.0


def _edges(group: Group) -> tuple[float, float]:
    halves = [ASPECTS[group.kind] * placement.height / 2 for placement in group.placements]
    xs = [placement.x for placement in group.placements]
    return min(x - half for x, half in zip(xs, halves, strict=True)), max(
        x + half for x, half in zip(xs, halves, strict=True)
    )


@settings(max_examples=300)
@given(scenes)
def test_relations_are_what_they_say(scene: Scene):
    """Left is left without overlap, in front is nearer, above and on are higher."""
    if scene.relation is None:
        return
    subject, other = scene.subject, scene.relation.other
    (left, right), (other_left, other_right) = _edges(subject), _edges(other)
    first, second = subject.placements[0], other.placements[0]
    match scene.relation.name:
        case "left of":
            assert right < other_left
        case "right of":
            assert left > other_right
        case "in front of":
            assert first.base > second.base
            assert subject.kind in BEHIND[other.kind]
        case "behind":
            assert first.base < second.base
        case "above":
            assert first.base - first.lift < second.base - second.lift - second.height
        case "on":
            assert subject.kind in SUPPORTS[other.kind]
            assert first.x == second.x
            assert 0 <= second.height - first.lift < 0.2 * second.height
        case "chasing":
            assert subject.faces_left == other.faces_left == (other_left < left)
        case "flying":
            assert other.kind == "kite"
            assert second.lift > 0


def test_every_part_of_a_held_out_combination_is_common_otherwise():
    """Each held-out colour, kind, ground and action occurs in familiar scenes, each apart."""
    rng = random.Random(0)
    words: set[str] = set()
    for _ in range(600):
        scene = compose_scene(rng)
        words.add(scene.ground)
        for group in scene.groups:
            words |= {group.kind, group.colour, group.action}
    for combination in HELD_OUT:
        for word in combination.replace(" on ", " ").split():
            assert word in words, (combination, word)
    assert set(COLOURS) <= words


def test_who_flies_a_kite_stays_in_the_frame():
    """A wide person near the edge, which few seeds draw."""
    scene = compose_scene(random.Random(19069))
    (placement,) = scene.subject.placements
    assert placement.x + ASPECTS[scene.subject.kind] * placement.height / 2 <= 1.001
