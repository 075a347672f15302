"""Things that do not live: toys, vessels, buildings, vehicles, trees."""

from captiongen.data.scenes.pen import INK, Pen, shade
from captiongen.data.scenes.world import Rgb

_GLASS: Rgb = (176, 214, 232)
_STEAM: Rgb = (236, 238, 240)
_TRUNK: Rgb = (98, 66, 40)
_SAIL: Rgb = (250, 246, 232)


def draw_ball(pen: Pen, action: str) -> None:
    """A ball with a band; speed lines behind it and a turned pattern when it rolls."""
    seam = shade(pen.colour, 0.6)
    if action == "rolling":
        for y, start in ((0.3, 0.08), (0.55, 0.0), (0.8, 0.08)):
            pen.limb([(start, y), (0.2, y)], 0.05, (236, 236, 236))
        pen.ellipse((0.56, 0.56), 0.44, 0.44, pen.colour)
        pen.limb([(0.33, 0.33), (0.79, 0.79)], 0.09, seam)
        pen.limb([(0.79, 0.33), (0.33, 0.79)], 0.09, seam)
    else:
        pen.ellipse((0.5, 0.5), 0.5, 0.5, pen.colour)
        pen.box(0.03, 0.45, 0.97, 0.58, seam)
    pen.ellipse((0.66, 0.27), 0.12, 0.1, shade(pen.colour, 1.6))


def draw_box(pen: Pen, action: str) -> None:
    """A box seen a little from above: front, side and lid."""
    pen.polygon([(0.0, 0.24), (0.26, 0.0), (1.0, 0.0), (0.76, 0.24)], shade(pen.colour, 1.35))
    pen.polygon([(0.76, 0.24), (1.0, 0.0), (1.0, 0.76), (0.76, 1.0)], shade(pen.colour, 0.62))
    pen.box(0.0, 0.24, 0.76, 1.0, pen.colour)
    pen.limb([(0.38, 0.27), (0.38, 0.97)], 0.06, shade(pen.colour, 0.75))


def draw_cup(pen: Pen, action: str) -> None:
    """A cup with a handle; steam curls above it when it is hot."""
    pen.arc((0.7, 0.66), 0.2, 0, 360, 0.075, pen.dark)
    pen.polygon([(0.04, 0.4), (0.72, 0.4), (0.62, 1.0), (0.14, 1.0)], pen.colour)
    pen.ellipse((0.38, 0.4), 0.34, 0.09, pen.dark)
    pen.ellipse((0.38, 0.41), 0.27, 0.06, (84, 50, 28))
    if action == "steaming":
        for x in (0.22, 0.38, 0.54):
            pen.limb([(x, 0.32), (x + 0.06, 0.22), (x - 0.02, 0.12), (x + 0.05, 0.0)], 0.05, _STEAM)


def draw_tree(pen: Pen, action: str) -> None:
    """A trunk and a round crown of three leafy balls."""
    pen.polygon([(0.29, 1.0), (0.32, 0.5), (0.4, 0.5), (0.43, 1.0)], _TRUNK)
    pen.ellipse((0.2, 0.4), 0.2, 0.2, pen.dark)
    pen.ellipse((0.53, 0.4), 0.19, 0.2, pen.dark)
    pen.ellipse((0.36, 0.28), 0.27, 0.28, pen.colour)
    for x, y in ((0.22, 0.2), (0.42, 0.14), (0.34, 0.34), (0.5, 0.3), (0.18, 0.4), (0.56, 0.44)):
        pen.ellipse((x, y), 0.045, 0.035, shade(pen.colour, 1.25))


def draw_house(pen: Pen, action: str) -> None:
    """Walls in the colour, a dark roof, a door, two windows, a chimney that may smoke."""
    pen.box(0.74, 0.12, 0.86, 0.4, (120, 70, 60))
    if action == "smoking":
        for x, y, radius in ((0.8, 0.07, 0.05), (0.87, 0.0, 0.06), (0.97, -0.03, 0.06)):
            pen.ellipse((x, y), radius, radius, (205, 205, 208))
    pen.box(0.08, 0.4, 0.97, 1.0, pen.colour)
    pen.polygon([(0.0, 0.44), (0.52, 0.02), (1.05, 0.44)], (92, 62, 58) if pen.colour[0] != 120 else (60, 56, 66))
    pen.box(0.44, 0.66, 0.61, 1.0, (84, 54, 36))
    for left in (0.17, 0.7):
        pen.box(left, 0.54, left + 0.17, 0.73, _GLASS)
        pen.limb([(left + 0.085, 0.55), (left + 0.085, 0.72)], 0.015, INK)


def draw_car(pen: Pen, action: str) -> None:
    """A small car; dust and speed lines behind it when it drives."""
    if action == "driving":
        for x, y, radius in ((0.1, 0.86, 0.07), (0.0, 0.78, 0.06), (0.02, 0.92, 0.05)):
            pen.ellipse((x, y), radius, radius, (212, 208, 200))
        for y in (0.34, 0.48):
            pen.limb([(0.0, y), (0.16, y)], 0.03, (235, 235, 235))
    pen.polygon([(0.5, 0.46), (0.74, 0.06), (1.3, 0.06), (1.56, 0.46)], pen.dark)
    pen.polygon([(0.62, 0.43), (0.79, 0.14), (1.0, 0.14), (1.0, 0.43)], _GLASS)
    pen.polygon([(1.07, 0.43), (1.07, 0.14), (1.25, 0.14), (1.43, 0.43)], _GLASS)
    pen.box(0.2, 0.42, 1.95, 0.83, pen.colour, radius=0.12)
    pen.ellipse((1.87, 0.55), 0.06, 0.06, (255, 240, 150))
    for x in (0.58, 1.55):
        pen.ellipse((x, 0.81), 0.19, 0.19, INK)
        pen.ellipse((x, 0.81), 0.085, 0.085, (190, 190, 194))


def draw_boat(pen: Pen, action: str) -> None:
    """A hull in the colour; a mast with white sails when it sails, a bare one when it floats."""
    pen.limb([(0.52, 0.04), (0.52, 0.72)], 0.035, _TRUNK)
    if action == "sailing":
        pen.polygon([(0.56, 0.04), (0.56, 0.64), (1.0, 0.64)], _SAIL)
        pen.polygon([(0.48, 0.14), (0.48, 0.64), (0.14, 0.64)], shade(_SAIL, 0.88))
    pen.polygon([(0.0, 0.7), (1.05, 0.7), (0.88, 1.0), (0.18, 1.0)], pen.colour)
    pen.limb([(0.05, 0.74), (1.0, 0.74)], 0.05, shade(pen.colour, 1.35))


def draw_kite(pen: Pen, action: str) -> None:
    """A diamond of four fields with a tail of bows."""
    light = shade(pen.colour, 1.3)
    pen.limb([(0.38, 0.66), (0.28, 0.8), (0.42, 0.88), (0.3, 1.0)], 0.025, INK)
    for x, y in ((0.3, 0.79), (0.4, 0.9)):
        pen.limb([(x - 0.05, y - 0.03), (x + 0.05, y + 0.03)], 0.05, pen.colour)
    pen.polygon([(0.4, 0.0), (0.78, 0.28), (0.4, 0.7), (0.02, 0.28)], pen.colour)
    pen.polygon([(0.4, 0.0), (0.78, 0.28), (0.4, 0.28)], light)
    pen.polygon([(0.4, 0.7), (0.02, 0.28), (0.4, 0.28)], pen.dark)
