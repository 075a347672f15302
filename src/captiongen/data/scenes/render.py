"""Draws a composed scene and says where everything came to lie."""

import random

from PIL import Image, ImageDraw, ImageFilter

from captiongen.data.scenes.figures import draw_figure
from captiongen.data.scenes.pen import pixel
from captiongen.data.scenes.scene import Group, Placement, Scene
from captiongen.data.scenes.surroundings import light, paint_surroundings

SIZE_PX = 96
_OVERSAMPLING = 3
_CANVAS_PX = SIZE_PX * _OVERSAMPLING

#: Part of the figure's height that is under water, by kind.
_DRAUGHTS = {"man": 0.5, "woman": 0.5, "dog": 0.52, "bird": 0.24, "ball": 0.3, "boat": 0.06}

Box = tuple[int, int, int, int]


def draw_scene(rng: random.Random, scene: Scene) -> tuple[Image.Image, dict[tuple[int, int], Box]]:
    """Draws a scene.

    Returns:
        The picture, (SIZE_PX, SIZE_PX) RGB, and the bounding box (left, top, right, bottom; px, right and bottom
        exclusive) of each figure's part above water, by (index of its group, index in the group). What other figures
        hide is included.
    """
    canvas = paint_surroundings(rng, _CANVAS_PX, scene.ground, scene.sky, scene.backdrop, scene.horizon)
    figures = [
        (group_index, index, group, placement)
        for group_index, group in enumerate(scene.groups)
        for index, placement in enumerate(group.placements)
    ]
    relation = scene.relation
    # Far before near; what stands on something comes after it; what flies is nearest to nobody and comes last.
    carried = 0 if relation is not None and relation.name == "on" else -1
    figures.sort(key=lambda figure: (figure[2].action == "flying", figure[3].base, figure[0] == carried))
    if relation is not None and relation.name == "flying":
        _draw_string(canvas, scene.subject.placements[0], relation.other.placements[0])
    boxes = {}
    for group_index, index, group, placement in figures:
        boxes[group_index, index] = _draw_one(canvas, scene, group, placement, is_carried=group_index == carried)
    small = canvas.resize((SIZE_PX, SIZE_PX), Image.Resampling.BOX)
    return light(rng, small, scene.sky), boxes


def _draw_one(canvas: Image.Image, scene: Scene, group: Group, placement: Placement, *, is_carried: bool) -> Box:
    height = max(pixel(placement.height * _CANVAS_PX), 8)
    tile, margin = draw_figure(group.kind, group.colour, group.action, height_px=height, faces_left=group.faces_left)
    width = tile.width - 2 * margin
    left = pixel(placement.x * _CANVAS_PX - width / 2)
    ground_y = pixel(placement.base * _CANVAS_PX)
    top = ground_y - pixel(placement.lift * _CANVAS_PX) - height
    is_afloat = scene.ground == "water" and group.action in ("swimming", "floating", "sailing") and group.kind != "fish"
    if is_afloat:
        draught = pixel(_DRAUGHTS[group.kind] * height)
        tile = tile.crop((0, 0, tile.width, tile.height - margin - draught))
        top += draught
        _draw_wake(canvas, left, ground_y, width)
    elif group.kind == "fish" and group.action == "swimming":
        tile.putalpha(tile.getchannel("A").point([value * 4 // 5 for value in range(256)]))
        _draw_wake(canvas, left, top, width)
    elif not is_carried:
        _draw_shadow(canvas, left, ground_y, width, is_airborne=placement.lift > 0, is_on_water=scene.ground == "water")
    canvas.paste(tile, (left - margin, top - margin), tile)
    if is_afloat:
        _draw_ripple(canvas, left, ground_y, width)
    return _box(tile, left - margin, top - margin)


def _box(tile: Image.Image, x: int, y: int) -> Box:
    inner = tile.getchannel("A").getbbox() or (0, 0, 1, 1)
    left, top = (max((offset + edge) // _OVERSAMPLING, 0) for offset, edge in ((x, inner[0]), (y, inner[1])))
    right, bottom = (
        min(-(-(offset + edge) // _OVERSAMPLING), SIZE_PX) for offset, edge in ((x, inner[2]), (y, inner[3]))
    )
    return left, top, right, bottom


def _draw_shadow(
    canvas: Image.Image, left: int, ground_y: int, width: int, *, is_airborne: bool, is_on_water: bool
) -> None:
    """Darkens the ground below; a figure in the air throws a smaller, fainter shadow that shows the gap."""
    inset = width // 4 if is_airborne else width // 16
    half = max(width // (14 if is_airborne else 10), 2)
    mask = Image.new("L", canvas.size, 0)
    strength = 70 if is_on_water else 90 if is_airborne else 120
    ImageDraw.Draw(mask).ellipse((left + inset, ground_y - half, left + width - inset, ground_y + half), fill=strength)
    area = (max(left - 4, 0), max(ground_y - half - 4, 0), left + width + 4, ground_y + half + 4)
    soft = mask.crop(area).filter(ImageFilter.BoxBlur(2))
    canvas.paste(Image.new("RGB", soft.size, (20, 22, 30)), area[:2], soft)


def _draw_wake(canvas: Image.Image, left: int, y: int, width: int) -> None:
    ImageDraw.Draw(canvas).arc((left - 8, y - 8, left + width + 8, y + 10), 0, 360, fill=(206, 228, 240), width=2)


def _draw_ripple(canvas: Image.Image, left: int, y: int, width: int) -> None:
    ImageDraw.Draw(canvas).line((left - 2, y, left + width + 2, y), fill=(222, 238, 246), width=3)


def _draw_string(canvas: Image.Image, holder: Placement, kite: Placement) -> None:
    """Draws the string from a raised hand to the kite's middle."""
    side = 1 if kite.x > holder.x else -1
    hand = (holder.x + side * 0.27 * holder.height, holder.base - 0.5 * holder.height)
    end = (kite.x, kite.base - kite.lift - 0.5 * kite.height)
    points = [(pixel(x * _CANVAS_PX), pixel(y * _CANVAS_PX)) for x, y in (hand, end)]
    ImageDraw.Draw(canvas).line(points, fill=(245, 245, 245), width=2)
