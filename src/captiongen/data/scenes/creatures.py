"""People and animals."""

from captiongen.data.scenes.pen import INK, SKIN, Pen, Point, shade
from captiongen.data.scenes.world import Rgb

_TROUSERS: Rgb = (62, 66, 96)
_HAIR_MAN: Rgb = (70, 44, 28)
_HAIR_WOMAN: Rgb = (104, 58, 24)

#: pose -> (left leg, right leg), each from the hip down; drawn by both people.
_LEGS: dict[str, tuple[list[Point], list[Point]]] = {
    "standing": ([(0.25, 0.6), (0.23, 0.97)], [(0.35, 0.6), (0.37, 0.97)]),
    "waving": ([(0.25, 0.6), (0.23, 0.97)], [(0.35, 0.6), (0.37, 0.97)]),
    "running": ([(0.27, 0.6), (0.16, 0.74), (0.01, 0.84)], [(0.33, 0.6), (0.49, 0.74), (0.46, 0.96)]),
    "jumping": ([(0.26, 0.6), (0.1, 0.72), (0.16, 0.88)], [(0.34, 0.6), (0.5, 0.72), (0.44, 0.88)]),
    "sitting": ([(0.24, 0.88), (0.48, 0.8), (0.56, 0.96)], [(0.26, 0.92), (0.46, 0.92), (0.58, 0.97)]),
    "swimming": ([(0.25, 0.6), (0.23, 0.97)], [(0.35, 0.6), (0.37, 0.97)]),
}
#: pose -> (left arm, right arm), each from the shoulder to the hand.
_ARMS: dict[str, tuple[list[Point], list[Point]]] = {
    "standing": ([(0.2, 0.3), (0.13, 0.55)], [(0.4, 0.3), (0.47, 0.55)]),
    "waving": ([(0.2, 0.3), (0.13, 0.55)], [(0.4, 0.3), (0.53, 0.2), (0.52, 0.02)]),
    "running": ([(0.21, 0.3), (0.07, 0.4), (0.04, 0.28)], [(0.39, 0.3), (0.45, 0.46), (0.58, 0.4)]),
    "jumping": ([(0.2, 0.3), (0.08, 0.16), (0.05, 0.0)], [(0.4, 0.3), (0.52, 0.16), (0.55, 0.0)]),
    "sitting": ([(0.2, 0.3), (0.14, 0.55)], [(0.4, 0.3), (0.5, 0.5)]),
    "swimming": ([(0.2, 0.34), (0.04, 0.4)], [(0.4, 0.32), (0.58, 0.22)]),
}


def draw_man(pen: Pen, action: str) -> None:
    """A person with short hair, a shirt in the colour, and trousers."""
    drop = 0.27 if action == "sitting" else 0.0
    for leg in _LEGS[action]:
        pen.limb(leg, 0.1, _TROUSERS)
        x, y = leg[-1]
        pen.limb([(x, y), (x + 0.04, y)], 0.06, INK)
    for arm in _ARMS[action]:
        _arm(pen, arm, drop)
    pen.box(0.18, 0.25 + drop, 0.42, 0.64 + drop, pen.colour, radius=0.06)
    pen.ellipse((0.3, 0.13 + drop), 0.095, 0.11, SKIN)
    pen.ellipse((0.285, 0.06 + drop), 0.095, 0.065, _HAIR_MAN)
    pen.ellipse((0.35, 0.13 + drop), 0.013, 0.016, INK)


def draw_woman(pen: Pen, action: str) -> None:
    """A person with long hair and a wide dress in the colour."""
    drop = 0.27 if action == "sitting" else 0.0
    for leg in _LEGS[action]:
        pen.limb(leg, 0.065, SKIN)
        x, y = leg[-1]
        pen.limb([(x, y), (x + 0.04, y)], 0.05, INK)
    for arm in _ARMS[action]:
        _arm(pen, arm, drop)
    pen.ellipse((0.26, 0.17 + drop), 0.12, 0.17, _HAIR_WOMAN)
    hem = 0.96 if action == "sitting" else 0.78
    pen.polygon([(0.22, 0.26 + drop), (0.38, 0.26 + drop), (0.39, 0.45 + drop), (0.5, hem), (0.1, hem),
                 (0.21, 0.45 + drop)], pen.colour)  # fmt: skip
    pen.ellipse((0.31, 0.13 + drop), 0.09, 0.105, SKIN)
    pen.ellipse((0.28, 0.06 + drop), 0.105, 0.06, _HAIR_WOMAN)
    pen.ellipse((0.36, 0.13 + drop), 0.013, 0.016, INK)


def _arm(pen: Pen, points: list[Point], drop: float) -> None:
    lowered = [(x, y + drop) for x, y in points]
    pen.limb(lowered, 0.07, pen.dark)
    pen.ellipse(lowered[-1], 0.045, 0.045, SKIN)


_QUADRUPED_LEGS: dict[str, tuple[tuple[Point, ...], ...]] = {
    "standing": (
        ((0.28, 0.62), (0.27, 0.96)), ((0.4, 0.65), (0.4, 0.96)),
        ((0.78, 0.65), (0.78, 0.96)), ((0.9, 0.62), (0.91, 0.96)),
    ),
    "running": (
        ((0.3, 0.6), (0.14, 0.78), (0.02, 0.84)), ((0.36, 0.62), (0.24, 0.85), (0.12, 0.95)),
        ((0.85, 0.62), (1.02, 0.8), (1.14, 0.84)), ((0.9, 0.6), (1.08, 0.7), (1.22, 0.72)),
    ),
    "jumping": (
        ((0.3, 0.66), (0.16, 0.84), (0.04, 0.98)), ((0.38, 0.68), (0.26, 0.86), (0.16, 0.99)),
        ((0.86, 0.5), (1.04, 0.54), (1.1, 0.66)), ((0.9, 0.46), (1.1, 0.44), (1.2, 0.54)),
    ),
}  # fmt: skip
_QUADRUPED_LEGS["swimming"] = _QUADRUPED_LEGS["standing"]


def draw_dog(pen: Pen, action: str) -> None:
    """Stocky, a long snout, hanging ears, a short thick tail."""
    if action == "sleeping":
        pen.limb([(0.14, 0.86), (0.0, 0.74)], 0.08, pen.dark)
        pen.ellipse((0.55, 0.78), 0.44, 0.22, pen.colour)
        pen.ellipse((0.4, 0.86), 0.2, 0.13, pen.dark)
        pen.limb([(0.9, 0.95), (1.25, 0.95)], 0.09, pen.dark)
        _dog_head(pen, (1.02, 0.76), is_asleep=True)
    elif action == "sitting":
        pen.limb([(0.3, 0.9), (0.1, 0.84), (0.04, 0.7)], 0.08, pen.dark)
        pen.ellipse((0.48, 0.78), 0.27, 0.22, pen.colour)
        pen.limb([(0.52, 0.72), (0.78, 0.45)], 0.36, pen.colour)
        pen.limb([(0.86, 0.55), (0.86, 0.95)], 0.11, pen.dark)
        pen.limb([(0.78, 0.55), (0.76, 0.95)], 0.11, pen.colour)
        pen.limb([(0.45, 0.95), (0.62, 0.95)], 0.1, pen.dark)
        _dog_head(pen, (0.92, 0.24))
    else:
        tilt = -0.1 if action == "jumping" else 0.0
        for index, leg in enumerate(_QUADRUPED_LEGS[action]):
            pen.limb(leg, 0.11, pen.dark if index % 2 else pen.colour)
        pen.limb([(0.24, 0.48 - tilt), (0.1, 0.34 - tilt), (0.06, 0.22 - tilt)], 0.08, pen.dark)
        pen.limb([(0.36, 0.54 - tilt / 2), (0.86, 0.54 + tilt)], 0.32, pen.colour)
        pen.limb([(0.88, 0.5 + tilt), (1.0, 0.32 + tilt)], 0.2, pen.colour)
        _dog_head(pen, (1.06, 0.25 + tilt / 2))


def _dog_head(pen: Pen, centre: Point, *, is_asleep: bool = False) -> None:
    x, y = centre
    pen.limb([(x, y + 0.06), (x + 0.24, y + 0.08)], 0.17, pen.colour)
    pen.ellipse(centre, 0.18, 0.18, pen.colour)
    pen.ellipse((x + 0.3, y + 0.05), 0.05, 0.045, INK)
    pen.limb([(x - 0.1, y - 0.06), (x - 0.13, y + 0.16)], 0.12, pen.dark)
    eye = INK if sum(pen.colour) > 150 else (250, 250, 250)
    if is_asleep:
        pen.limb([(x + 0.05, y - 0.03), (x + 0.14, y - 0.03)], 0.03, eye)
    else:
        pen.ellipse((x + 0.09, y - 0.04), 0.035, 0.035, eye)


def draw_cat(pen: Pen, action: str) -> None:
    """Slim, a round face, upright pointed ears, a long thin tail, stripes."""
    if action == "sleeping":
        pen.ellipse((0.55, 0.78), 0.46, 0.21, pen.colour)
        pen.limb([(0.16, 0.92), (0.6, 0.97), (0.86, 0.94)], 0.08, pen.dark)
        _stripes(pen, ((0.42, 0.6), (0.56, 0.59), (0.3, 0.64)))
        _cat_head(pen, (0.95, 0.74), is_asleep=True)
    elif action == "sitting":
        pen.limb([(0.4, 0.93), (0.1, 0.93), (0.02, 0.76), (0.1, 0.66)], 0.065, pen.dark)
        pen.ellipse((0.55, 0.76), 0.26, 0.24, pen.colour)
        pen.limb([(0.6, 0.7), (0.72, 0.48)], 0.27, pen.colour)
        pen.limb([(0.74, 0.6), (0.76, 0.96)], 0.08, pen.dark)
        pen.limb([(0.66, 0.6), (0.66, 0.96)], 0.08, pen.colour)
        _stripes(pen, ((0.38, 0.66), (0.46, 0.58)))
        _cat_head(pen, (0.74, 0.25))
    else:
        tilt = -0.1 if action == "jumping" else 0.0
        for index, leg in enumerate(_QUADRUPED_LEGS[action]):
            pen.limb([(x * 0.93, y) for x, y in leg], 0.08, pen.dark if index % 2 else pen.colour)
        pen.limb([(0.22, 0.5 - tilt), (0.07, 0.36 - tilt), (0.1, 0.12 - tilt), (0.02, 0.03 - tilt)], 0.06, pen.dark)
        pen.limb([(0.32, 0.54 - tilt / 2), (0.82, 0.54 + tilt)], 0.24, pen.colour)
        _stripes(pen, ((0.4, 0.44 - tilt / 2), (0.54, 0.43), (0.68, 0.43 + tilt / 2)))
        _cat_head(pen, (0.95, 0.34 + tilt))


def _stripes(pen: Pen, tops: tuple[Point, ...]) -> None:
    for x, y in tops:
        pen.limb([(x, y), (x + 0.01, y + 0.13)], 0.045, pen.dark)


def _cat_head(pen: Pen, centre: Point, *, is_asleep: bool = False) -> None:
    x, y = centre
    for side in (-1, 1):
        pen.polygon([(x + side * 0.19, y - 0.25), (x + side * 0.2, y + 0.02), (x + side * 0.02, y - 0.14)], pen.dark)
    pen.ellipse(centre, 0.21, 0.18, pen.colour)
    eye = INK if sum(pen.colour) > 150 else (190, 225, 90)
    for side in (-1, 1):
        if is_asleep:
            pen.limb([(x + side * 0.09 - 0.04, y), (x + side * 0.09 + 0.04, y)], 0.025, eye)
        else:
            pen.ellipse((x + side * 0.08, y - 0.02), 0.035, 0.045, eye)
    pen.ellipse((x, y + 0.07), 0.03, 0.022, (225, 120, 130))


def draw_bird(pen: Pen, action: str) -> None:
    """A round body, an orange beak; wings spread when it flies, thin legs when it stands."""
    if action == "flying":
        pen.polygon([(0.0, 0.55), (0.28, 0.5), (0.2, 0.68)], pen.dark)
        pen.polygon([(0.52, 0.55), (0.34, 0.02), (0.2, 0.06), (0.4, 0.6)], pen.dark)
        pen.limb([(0.32, 0.6), (0.8, 0.56)], 0.27, pen.colour)
        pen.polygon([(0.42, 0.6), (0.62, 0.02), (0.8, 0.0), (0.76, 0.58)], pen.dark)
        head = (0.96, 0.46)
    else:
        pen.polygon([(0.02, 0.7), (0.4, 0.42), (0.44, 0.68)], pen.dark)
        if action == "standing":
            for x in (0.52, 0.66):
                pen.limb([(x, 0.74), (x, 0.97), (x + 0.1, 0.97)], 0.045, (225, 130, 40))
        pen.ellipse((0.58, 0.58), 0.32, 0.24, pen.colour)
        pen.limb([(0.42, 0.56), (0.6, 0.62)], 0.18, pen.dark)
        pen.limb([(0.74, 0.5), (0.84, 0.32)], 0.2, pen.colour)
        head = (0.88, 0.24)
    x, y = head
    pen.polygon([(x + 0.1, y - 0.08), (x + 0.36, y + 0.04), (x + 0.1, y + 0.11)], (245, 150, 30))
    pen.ellipse(head, 0.17, 0.17, pen.colour)
    pen.ellipse((x + 0.06, y - 0.03), 0.035, 0.035, INK if sum(pen.colour) > 150 else (250, 250, 250))


def draw_fish(pen: Pen, action: str) -> None:
    """An oval body with a forked tail and bands; arched when it jumps out of the water."""
    light = shade(pen.colour, 1.35)
    arch = 0.12 if action == "jumping" else 0.0
    pen.polygon([(0.42, 0.5 + arch), (0.02, 0.12 + arch * 3), (0.12, 0.52 + arch * 3), (0.02, 0.9 + arch)], pen.dark)
    pen.polygon([(0.66, 0.28), (0.86, 0.02), (1.2, 0.24)], pen.dark)
    pen.polygon([(0.8, 0.74), (0.82, 0.95), (1.04, 0.76)], pen.dark)
    pen.ellipse((0.95, 0.5), 0.62, 0.32, pen.colour)
    for x in (0.66, 0.88):
        pen.limb([(x, 0.3), (x - 0.05, 0.5), (x, 0.7)], 0.07, light)
    pen.ellipse((1.36, 0.43), 0.075, 0.075, (250, 250, 250))
    pen.ellipse((1.38, 0.43), 0.04, 0.04, INK)
