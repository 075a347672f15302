"""What each kind of thing looks like: one function a kind, drawing a figure that faces right and stands on y = 1."""

from collections.abc import Callable, Mapping

from PIL import Image

from captiongen.data.scenes.creatures import draw_bird, draw_cat, draw_dog, draw_fish, draw_man, draw_woman
from captiongen.data.scenes.objects import (
    draw_ball,
    draw_boat,
    draw_box,
    draw_car,
    draw_cup,
    draw_house,
    draw_kite,
    draw_tree,
)
from captiongen.data.scenes.pen import Pen

_DRAW: Mapping[str, Callable[[Pen, str], None]] = {
    "man": draw_man,
    "woman": draw_woman,
    "dog": draw_dog,
    "cat": draw_cat,
    "bird": draw_bird,
    "fish": draw_fish,
    "ball": draw_ball,
    "box": draw_box,
    "cup": draw_cup,
    "tree": draw_tree,
    "house": draw_house,
    "car": draw_car,
    "boat": draw_boat,
    "kite": draw_kite,
}

#: Width of a figure divided by its height.
ASPECTS: Mapping[str, float] = {
    "man": 0.6, "woman": 0.6, "dog": 1.4, "cat": 1.25, "bird": 1.3, "fish": 1.7, "ball": 1.0, "box": 1.0, "cup": 0.95,
    "tree": 0.72, "house": 1.05, "car": 2.0, "boat": 1.05, "kite": 0.8,
}  # fmt: skip


def draw_figure(kind: str, colour: str, action: str, *, height_px: int, faces_left: bool) -> tuple[Image.Image, int]:
    """Draws one figure on a transparent tile.

    Returns:
        The tile (RGBA) and the margin around the figure in it, px.
    """
    pen = Pen(height_px, ASPECTS[kind], colour)
    _DRAW[kind](pen, action)
    tile = pen.finish()
    if faces_left:
        tile = tile.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return tile, pen.margin_px
