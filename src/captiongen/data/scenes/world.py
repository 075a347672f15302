"""What the drawn world holds: kinds of things, their colours and actions, where they may be, and what is held out."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Rgb = tuple[int, int, int]
Size = Literal["small", "medium", "large"]

COLOURS: Mapping[str, Rgb] = MappingProxyType(
    {
        "red": (205, 35, 40),
        "blue": (40, 80, 205),
        "green": (40, 150, 60),
        "yellow": (245, 210, 45),
        "orange": (240, 125, 25),
        "purple": (130, 55, 175),
        "pink": (245, 130, 180),
        "black": (38, 36, 42),
        "white": (244, 244, 242),
        "brown": (120, 72, 38),
        "grey": (140, 142, 148),
    }
)

LAND = ("grass", "sand", "snow", "street")
#: ground -> how often; the water is home to kinds that live nowhere else.
GROUNDS: Mapping[str, int] = MappingProxyType({**dict.fromkeys(LAND, 2), "water": 3, "wood floor": 2})
#: sky -> how often; a wood floor has a wall instead ("indoors").
SKIES: Mapping[str, int] = MappingProxyType({"clear": 4, "cloudy": 3, "sunset": 2, "night": 2})
BACKDROPS = ("none", "hills", "mountains")

SIZE_FACTORS: Mapping[Size, float] = MappingProxyType({"small": 0.68, "medium": 1.0, "large": 1.32})


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing.

    Attributes:
        height: of a medium one, as a fraction of the frame.
        colours: names in `COLOURS`; of the clothes for people, of the leaves for trees.
        actions: what it can be doing, by ground.
        sizes: how big it can be.
        max_count: how many can form a group.
    """

    height: float
    colours: tuple[str, ...]
    actions: Mapping[str, tuple[str, ...]]
    sizes: tuple[Size, ...] = ("small", "medium", "large")
    max_count: int = 3


def _on(grounds: tuple[str, ...], *actions: str) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(grounds, actions)


_FLOOR = ("wood floor",)
_WATER = ("water",)
_DRY = (*LAND, *_FLOOR)
_PEOPLE_ACTIONS = {
    **_on(LAND, "standing", "running", "jumping", "sitting", "waving"),
    **_on(_FLOOR, "standing", "jumping", "sitting", "waving"),
    **_on(_WATER, "swimming"),
}
_BRIGHT = ("red", "blue", "green", "yellow", "orange", "purple", "pink")

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        # A small man or woman is a boy or a girl.
        "man": Kind(
            0.54, ("red", "blue", "green", "yellow", "orange", "black", "white"), _PEOPLE_ACTIONS, ("small", "medium")
        ),
        "woman": Kind(
            0.52, ("red", "blue", "green", "yellow", "purple", "pink", "white"), _PEOPLE_ACTIONS, ("small", "medium")
        ),
        "dog": Kind(
            0.34,
            ("brown", "black", "white", "grey"),
            {
                **_on(LAND, "standing", "running", "jumping", "sitting", "sleeping"),
                **_on(_FLOOR, "standing", "sitting", "sleeping"),
                **_on(_WATER, "swimming"),
            },
        ),
        "cat": Kind(
            0.32,
            ("orange", "black", "white", "grey"),
            {
                **_on(LAND, "standing", "running", "jumping", "sitting", "sleeping"),
                **_on(_FLOOR, "standing", "jumping", "sitting", "sleeping"),
            },
        ),
        "bird": Kind(
            0.25,
            ("red", "blue", "yellow", "black", "white"),
            {
                **_on(LAND, "standing", "flying"),
                **_on(_WATER, "floating", "flying"),
            },
        ),
        "fish": Kind(0.24, ("orange", "blue", "red", "yellow", "purple"), _on(_WATER, "swimming", "jumping")),
        "ball": Kind(
            0.22,
            (*_BRIGHT, "white"),
            {
                **_on(_DRY, "lying", "rolling", "bouncing"),
                **_on(_WATER, "floating"),
            },
        ),
        "box": Kind(0.27, (*_BRIGHT, "brown", "black"), _on(_DRY, "lying")),
        "cup": Kind(0.26, (*_BRIGHT, "white", "black"), _on(("grass", "sand", *_FLOOR), "standing", "steaming")),
        "tree": Kind(0.62, ("green", "orange", "yellow", "pink"), _on(LAND, "standing"), max_count=3),
        "house": Kind(
            0.5,
            ("red", "blue", "yellow", "white", "brown"),
            _on(("grass", "sand", "snow", "street"), "standing", "smoking"),
            max_count=2,
        ),
        "car": Kind(
            0.28, ("red", "blue", "green", "yellow", "black", "white"), _on(LAND, "parked", "driving"), max_count=1
        ),
        "boat": Kind(0.42, ("red", "blue", "green", "white", "brown"), _on(_WATER, "sailing", "floating")),
        "kite": Kind(0.3, _BRIGHT, {**_on(LAND, "flying"), **_on(_WATER, "flying")}),
    }
)
PEOPLE = ("man", "woman")
FLYERS = ("bird", "kite")

#: What may be in front of what: small things before big ones, so that both stay visible.
BEHIND: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "tree": ("man", "woman", "dog", "cat", "ball", "box", "bird", "car"),
        "house": ("man", "woman", "dog", "cat", "ball", "box", "bird", "car"),
        "car": ("dog", "cat", "ball", "bird", "box"),
        "boat": ("fish", "ball", "bird", "dog", "man", "woman"),
    }
)
#: What carries what on its top.
SUPPORTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"box": ("cat", "cup", "ball", "bird", "dog"), "car": ("cat", "bird"), "house": ("bird",)}
)
#: Who chases what.
CHASED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"dog": ("ball", "cat"), "cat": ("ball",), "man": ("ball", "dog"), "woman": ("ball", "dog")}
)

#: Combinations that only the test split shows, so that a captioner must compose what it has seen apart: a colour of
#: a kind, a kind on a ground, a kind in an action. Each part alone is common in training.
HELD_OUT: tuple[str, ...] = (
    "blue car", "red ball", "yellow house", "black dog", "white cat", "green boat", "yellow bird", "orange fish",
    "purple kite", "green man", "pink woman",
    "cat on sand", "car on snow", "house on street", "ball on water",
    "dog jumping", "woman waving", "bird floating",
)  # fmt: skip
