"""Grounds, skies and light. Whole-number arithmetic and Pillow's fixed-point filters: the same bytes everywhere."""

import random
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from captiongen.data.scenes.pen import pixel, shade
from captiongen.data.scenes.world import Rgb

_GROUND_COLOURS: Mapping[str, Rgb] = {
    "grass": (92, 146, 62),
    "sand": (222, 194, 138),
    "snow": (226, 232, 240),
    "street": (104, 104, 110),
    "water": (52, 116, 166),
    "wood floor": (172, 116, 66),
}
#: sky -> colour at the top, colour at the horizon.
_SKY_COLOURS: Mapping[str, tuple[Rgb, Rgb]] = {
    "clear": ((84, 156, 232), (196, 224, 246)),
    "cloudy": ((138, 146, 158), (200, 204, 210)),
    "sunset": ((112, 78, 140), (252, 156, 78)),
    "night": ((12, 16, 46), (40, 48, 92)),
}
_WALLS: tuple[Rgb, ...] = ((214, 202, 178), (176, 194, 186), (206, 182, 186), (186, 190, 208))
#: sky -> light on everything, per channel, in 256ths.
_LIGHT: Mapping[str, Rgb] = {
    "clear": (262, 260, 252),
    "cloudy": (232, 236, 242),
    "sunset": (262, 226, 204),
    "night": (178, 186, 214),
    "indoors": (256, 248, 234),
}


def paint_surroundings(
    rng: random.Random, size_px: int, ground: str, sky: str, backdrop: str, horizon: float
) -> Image.Image:
    """Paints everything behind the figures.

    Args:
        rng: decides what differs between two scenes of the same words.
        size_px: side of the square canvas.
        ground: a name in `world.GROUNDS`.
        sky: a name in `world.SKIES`, or "indoors".
        backdrop: a name in `world.BACKDROPS`.
        horizon: height of the horizon, fraction of the frame from the top.
    """
    horizon_px = pixel(horizon * size_px)
    canvas = _wall(rng, size_px) if sky == "indoors" else _sky(rng, size_px, sky, horizon_px)
    if backdrop != "none":
        _ridge(rng, canvas, backdrop, sky, horizon_px)
    floor = _textured(rng, size_px, ground)
    _GROUND_DETAILS[ground](rng, ImageDraw.Draw(floor), size_px, horizon_px)
    canvas.paste(floor.crop((0, horizon_px, size_px, size_px)), (0, horizon_px))
    if sky == "indoors":
        ImageDraw.Draw(canvas).rectangle((0, horizon_px - 5, size_px, horizon_px), fill=(236, 230, 220))
    return canvas


def light(rng: random.Random, image: Image.Image, sky: str) -> Image.Image:
    """Lights and photographs the finished scene: tint, uneven exposure, sensor noise."""
    side = image.width
    exposure = rng.randint(230, 276)
    uneven = np.asarray(_noise(rng, side, 3), dtype=np.int32) * 90 // 255 - 45 + exposure
    tint = np.asarray(_LIGHT[sky], dtype=np.int32)
    grain = (
        np.frombuffer(rng.randbytes(side * side), dtype=np.uint8).reshape(side, side).astype(np.int32) * 15 // 255 - 7
    )
    lit = np.asarray(image, dtype=np.int32) * tint * uneven[..., None] // 65536 + grain[..., None]
    return Image.fromarray(lit.clip(0, 255).astype(np.uint8))


def _noise(rng: random.Random, size_px: int, cells: int) -> Image.Image:
    """Smooth grey noise with `cells` x `cells` random knots."""
    return Image.frombytes("L", (cells, cells), rng.randbytes(cells * cells)).resize(
        (size_px, size_px), Image.Resampling.BICUBIC
    )


def _add_noise(rng: random.Random, canvas: Image.Image, cells: int, amplitude: int) -> Image.Image:
    grey = _noise(rng, canvas.width, cells).point([value * amplitude // 255 for value in range(256)])
    return ImageChops.add(canvas, Image.merge("RGB", (grey, grey, grey)), 1, -amplitude // 2)


def _textured(rng: random.Random, size_px: int, ground: str) -> Image.Image:
    canvas = Image.new("RGB", (size_px, size_px), shade(_GROUND_COLOURS[ground], rng.uniform(0.9, 1.1)))
    for cells, amplitude in ((5, 36), (24, 22), (size_px // 3, 26)):
        canvas = _add_noise(rng, canvas, cells, amplitude)
    return canvas


def _sky(rng: random.Random, size_px: int, sky: str, horizon_px: int) -> Image.Image:
    top, bottom = (np.asarray(colour, dtype=np.int32) for colour in _SKY_COLOURS[sky])
    rows = np.arange(size_px, dtype=np.int32).clip(0, horizon_px)[:, None]
    column = (top * (horizon_px - rows) + bottom * rows) // max(horizon_px, 1)
    gradient = np.broadcast_to(column[:, None, :], (size_px, size_px, 3)).astype(np.uint8)
    canvas = Image.fromarray(np.ascontiguousarray(gradient))
    draw = ImageDraw.Draw(canvas)
    if sky == "night":
        for _ in range(rng.randint(12, 26)):
            x, y = rng.randrange(size_px), rng.randrange(max(horizon_px, 2))
            draw.ellipse((x - 1, y - 1, x + 1, y + 1), fill=(250, 248, 226))
    _sun_or_moon(rng, draw, size_px, sky, horizon_px)
    return _clouds(rng, canvas, sky, horizon_px)


def _sun_or_moon(rng: random.Random, draw: ImageDraw.ImageDraw, size_px: int, sky: str, horizon_px: int) -> None:
    x, radius = rng.randint(20, size_px - 20), size_px // 18
    y = horizon_px - radius // 2 if sky == "sunset" else rng.randint(radius, max(horizon_px // 2, radius + 1))
    colours = {"clear": (255, 244, 170), "sunset": (255, 214, 110), "night": (240, 240, 224)}
    if sky in colours:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colours[sky])


def _clouds(rng: random.Random, canvas: Image.Image, sky: str, horizon_px: int) -> Image.Image:
    count = {"clear": rng.randint(0, 1), "cloudy": rng.randint(6, 9), "sunset": rng.randint(0, 2), "night": 0}[sky]
    side = canvas.width
    mask = Image.new("L", canvas.size, 0)
    draw = ImageDraw.Draw(mask)
    for _ in range(count):
        x, y = rng.randrange(side), rng.randint(4, max(horizon_px - 16, 5))
        for _ in range(4):
            dx, dy, radius = rng.randint(-30, 30), rng.randint(-6, 6), rng.randint(8, 18)
            draw.ellipse((x + dx - radius * 2, y + dy - radius, x + dx + radius * 2, y + dy + radius), fill=190)
    tone = {"clear": (250, 252, 255), "cloudy": (226, 228, 232), "sunset": (240, 140, 120), "night": (60, 64, 90)}[sky]
    canvas.paste(Image.new("RGB", canvas.size, tone), (0, 0), mask.filter(ImageFilter.BoxBlur(4)))
    return canvas


def _wall(rng: random.Random, size_px: int) -> Image.Image:
    canvas = _add_noise(rng, Image.new("RGB", (size_px, size_px), rng.choice(_WALLS)), 4, 30)
    draw = ImageDraw.Draw(canvas)
    if rng.random() < 0.6:
        x, y = rng.randint(10, size_px - 90), rng.randint(-10, 14)
        draw.rectangle((x, y, x + 76, y + 62), fill=(246, 244, 238))
        for dx, dy in ((5, 5), (41, 5), (5, 34), (41, 34)):
            draw.rectangle((x + dx, y + dy, x + dx + 30, y + dy + 23), fill=(166, 206, 236))
    return canvas


def _ridge(rng: random.Random, canvas: Image.Image, backdrop: str, sky: str, horizon_px: int) -> None:
    """Draws rounded green hills, or grey peaks with snow on top, along the horizon."""
    side = canvas.width
    draw = ImageDraw.Draw(canvas)
    dim = 0.4 if sky == "night" else 1.0
    x = -rng.randint(0, 40)
    while x < side:
        width = rng.randint(90, 150)
        height = min(rng.randint(24, 58), horizon_px - 4)
        if backdrop == "hills":
            green = shade((96, 134, 92), dim * rng.uniform(0.85, 1.1))
            draw.ellipse((x, horizon_px - height, x + width, horizon_px + height), fill=green)
        else:
            grey = shade((112, 116, 132), dim * rng.uniform(0.85, 1.1))
            peak, slope = x + width // 2, width / 2 / height
            draw.polygon([(x, horizon_px), (peak, horizon_px - height), (x + width, horizon_px)], fill=grey)
            cap = height // 3
            draw.polygon(
                [(peak - pixel(cap * slope), horizon_px - height + cap), (peak, horizon_px - height),
                 (peak + pixel(cap * slope), horizon_px - height + cap)], fill=shade((238, 240, 246), dim)
            )  # fmt: skip
        x += rng.randint(60, 110)


def _blades(rng: random.Random, draw: ImageDraw.ImageDraw, size_px: int, horizon_px: int) -> None:
    for _ in range(260):
        x, y = rng.randrange(size_px), rng.randrange(horizon_px, size_px)
        length = 3 + 7 * (y - horizon_px) // size_px
        tone = rng.choice(((62, 116, 42), (120, 172, 78), (78, 130, 50)))
        draw.line((x, y, x + rng.randint(-2, 2), y - length), fill=tone, width=1)


def _ripples(rng: random.Random, draw: ImageDraw.ImageDraw, size_px: int, horizon_px: int) -> None:
    for _ in range(46):
        x, y = rng.randrange(-20, size_px), rng.randrange(horizon_px, size_px)
        length = 10 + 60 * (y - horizon_px) // size_px
        draw.line((x, y, x + length, y), fill=rng.choice(((110, 170, 206), (36, 92, 140), (150, 200, 224))), width=2)


def _pebbles(rng: random.Random, draw: ImageDraw.ImageDraw, size_px: int, horizon_px: int) -> None:
    draw.rectangle((0, horizon_px, size_px, horizon_px + rng.randint(6, 16)), fill=(92, 158, 190))  # the sea
    for _ in range(40):
        x, y, radius = rng.randrange(size_px), rng.randrange(horizon_px + 20, size_px), rng.randint(1, 2)
        draw.ellipse(
            (x - radius, y - radius, x + radius, y + radius), fill=rng.choice(((186, 156, 104), (240, 226, 190)))
        )


def _drifts(rng: random.Random, draw: ImageDraw.ImageDraw, size_px: int, horizon_px: int) -> None:
    for _ in range(7):
        x, y, width = rng.randrange(-40, size_px), rng.randrange(horizon_px + 6, size_px), rng.randint(50, 120)
        draw.arc((x, y, x + width, y + 16), 190, 350, fill=(190, 204, 224), width=3)


def _markings(rng: random.Random, draw: ImageDraw.ImageDraw, size_px: int, horizon_px: int) -> None:
    draw.rectangle((0, horizon_px, size_px, horizon_px + 7), fill=(176, 172, 166))  # the kerb
    y = horizon_px + (size_px - horizon_px) * rng.randint(40, 65) // 100
    for x in range(-rng.randint(0, 50), size_px, 70):
        draw.rectangle((x, y, x + 38, y + 6), fill=(232, 228, 206))


def _planks(rng: random.Random, draw: ImageDraw.ImageDraw, size_px: int, horizon_px: int) -> None:
    vanishing_x = rng.randint(size_px // 4, 3 * size_px // 4)
    for x in range(-3 * size_px, 4 * size_px, 44):
        draw.line((vanishing_x + (x - vanishing_x) // 3, horizon_px, x, size_px), fill=(110, 70, 38), width=2)


_GROUND_DETAILS = {
    "grass": _blades,
    "sand": _pebbles,
    "snow": _drifts,
    "street": _markings,
    "water": _ripples,
    "wood floor": _planks,
}
