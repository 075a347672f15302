"""What is composed can be seen, and lies where the boxes say."""

import random
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from captiongen.data.scenes.compose import compose_scene
from captiongen.data.scenes.figures import draw_figure
from captiongen.data.scenes.render import SIZE_PX, draw_scene
from captiongen.data.scenes.scene import Group, Placement, Scene
from captiongen.data.scenes.world import COLOURS, KINDS


def _pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def _ball(colour: str, x: float = 0.5) -> Scene:
    ball = Group("ball", colour, "medium", "lying", faces_left=False, placements=(Placement(x, 0.9, 0.25),))
    return Scene("grass", "clear", "none", 0.4, ball)


@pytest.mark.parametrize("seed", range(40))
def test_boxes_lie_in_the_frame_and_hold_what_they_name(seed: int):
    """Every box is inside the picture, and taking the things away changes pixels in each box."""
    scene = compose_scene(random.Random(seed))
    picture, boxes = draw_scene(random.Random(seed), scene)
    assert picture.size == (SIZE_PX, SIZE_PX)
    assert set(boxes) == {(index, number) for index, group in enumerate(scene.groups) for number in range(group.count)}
    empty = replace(scene, subject=replace(scene.subject, placements=()), relation=None)
    difference = np.abs(_pixels(picture) - _pixels(draw_scene(random.Random(seed), empty)[0])).sum(axis=-1)
    for left, top, right, bottom in boxes.values():
        assert 0 <= left < right <= SIZE_PX
        assert 0 <= top < bottom <= SIZE_PX
        assert (difference[top:bottom, left:right] > 60).mean() > 0.15


@pytest.mark.parametrize("colour", COLOURS)
def test_a_colour_is_the_one_that_its_name_says(colour: str):
    """The middle of a ball is closer to its own colour than to any other."""
    (left, top, right, bottom) = (box := draw_scene(random.Random(3), _ball(colour)))[1][0, 0]
    # The upper left quarter shows neither the band nor the highlight.
    x, y = left + (right - left) // 4, top + (bottom - top) // 4
    seen = _pixels(box[0])[y : y + 3, x : x + 3].reshape(-1, 3).mean(axis=0)
    distances = {name: float(np.linalg.norm(seen - np.array(value))) for name, value in COLOURS.items()}
    assert min(distances, key=distances.__getitem__) == colour


def test_what_moves_right_is_seen_further_right():
    """The box follows the placement."""
    boxes = [draw_scene(random.Random(3), _ball("red", x))[1][0, 0] for x in (0.3, 0.7)]
    assert boxes[1][0] - boxes[0][0] == pytest.approx(0.4 * SIZE_PX, abs=1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_action_of_a_kind_looks_different(kind: str):
    """Two actions of one kind differ in the figure, or in being lifted or under water."""
    told_by_place = {"bouncing", "floating", "swimming", "lying", "standing"}
    actions = sorted({action for actions in KINDS[kind].actions.values() for action in actions})
    for first, second in combinations(actions, 2):
        tiles = [
            _pixels(draw_figure(kind, KINDS[kind].colours[0], action, height_px=60, faces_left=False)[0])
            for action in (first, second)
        ]
        assert not np.array_equal(*tiles) or {first, second} <= told_by_place, (first, second)


def test_a_figure_that_faces_left_is_the_mirror_of_one_that_faces_right():
    """Facing is mirroring, nothing else."""
    right, left = (
        _pixels(draw_figure("dog", "brown", "running", height_px=50, faces_left=facing)[0]) for facing in (False, True)
    )
    assert np.array_equal(right[:, ::-1], left)
