"""Words and phrases for what a scene holds: nouns, verbs, places, light, as people write under photographs."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from captiongen.data.scenes.scene import Group
from captiongen.data.scenes.world import PEOPLE

NUMBERS = {1: "a", 2: "two", 3: "three"}


#: kind -> its names, the common ones more than once; other kinds go by their own name.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "man": ("man", "man", "guy", "person"),
    "woman": ("woman", "woman", "lady", "person"),
    "box": ("box", "box", "cube"),
    "cup": ("cup", "mug"),
    "house": ("house", "house", "house", "home"),
    "car": ("car", "car", "car", "vehicle"),
}
_PLURALS: Mapping[str, str] = {
    "man": "men", "woman": "women", "lady": "ladies", "person": "people", "child": "children", "puppy": "puppies",
    "box": "boxes", "fish": "fish",
}  # fmt: skip
_SMALL_NAMES: Mapping[str, tuple[tuple[str, str], ...]] = {  # (adjective, noun) of a small one
    "man": (("", "boy"), ("little", "boy"), ("young", "boy"), ("", "child")),
    "woman": (("", "girl"), ("little", "girl"), ("young", "girl"), ("", "child")),
    "dog": (("small", "dog"), ("little", "dog"), ("", "puppy")),
    "cat": (("small", "cat"), ("little", "cat"), ("", "kitten")),
}
_SIZE_WORDS: Mapping[str, tuple[str, ...]] = {
    "small": ("small", "small", "little", "tiny"),
    "large": ("large", "large", "big", "huge"),
    "medium": ("",),
}


def noun_phrase(rng: random.Random, group: Group, *, colour: bool, size: bool, definite: bool = False) -> str:
    """Names a group: "two small red balls", "a woman in a blue dress", "the dog".

    Args:
        rng: chooses among synonyms.
        group: what to name.
        colour: whether to say the colour.
        size: whether to say the size, where it is not the usual one.
        definite: "the" instead of "a"; groups keep their number.
    """
    adjective, name = _head(rng, group, size=size)
    adjectives = [adjective] if adjective else []
    ending = ""
    if colour:
        colour_adjective, ending = _colour_words(rng, group)
        adjectives += [colour_adjective] if colour_adjective else []
    if group.action == "smoking" and rng.random() < 0.6:
        ending += " with a smoking chimney" if group.count == 1 else " with smoking chimneys"
    words = " ".join([*adjectives, name if group.count == 1 else _plural(name)])
    determiner = NUMBERS[group.count] if group.count > 1 else "the" if definite else article(words)
    return f"{determiner} {words}{ending}"


def _plural(name: str) -> str:
    return _PLURALS.get(name, f"{name}s")


def article(words: str) -> str:
    """Returns "an" before a vowel, else "a"."""
    return "an" if words[0] in "aeiou" else "a"


def _head(rng: random.Random, group: Group, *, size: bool) -> tuple[str, str]:
    """The word for the size ("" when unsaid) and the noun, singular."""
    if group.size == "small" and group.kind in _SMALL_NAMES and (size or group.kind in PEOPLE):
        adjective, name = rng.choice(_SMALL_NAMES[group.kind])
        return (adjective if size else ""), name
    names = ("sailboat", "sailboat", "boat") if group.action == "sailing" else _NAMES.get(group.kind, (group.kind,))
    return rng.choice(_SIZE_WORDS[group.size]) if size else "", rng.choice(names)


def _colour_words(rng: random.Random, group: Group) -> tuple[str, str]:
    """The colour as (adjective in front, words behind)."""
    word = rng.choice(("grey", "gray")) if group.colour == "grey" else group.colour
    if group.kind in PEOPLE:
        garment = "shirt" if group.kind == "man" else "dress"
        worn = f"{word} {garment}{'s' if garment == 'shirt' else 'es'}" if group.count > 1 else (
            f"{article(word)} {word} {garment}"
        )  # fmt: skip
        return "", rng.choice((f" in {worn}", f" in {worn}", f" wearing {worn}", f" dressed in {word}"))
    if group.kind == "tree":
        if group.colour == "green":
            return "green", ""
        leaves = "blossoms" if group.colour == "pink" else "leaves"
        return rng.choice((("", f" with {word} {leaves}"), (word, "")))
    return word, ""


@dataclass(frozen=True, slots=True)
class Verb:
    """An action in words.

    Attributes:
        singular: "a dog runs".
        plural: "two dogs run".
        participle: "a dog running", "a dog is running".
        place: which phrase of the ground goes with it: "at" rest, "along" a way, "over" it in the air.
        after: words between the verb and the place.
    """

    singular: str
    plural: str
    participle: str
    place: str = "at"
    after: str = ""


def _regular(stem: str, participle: str, place: str = "at", after: str = "") -> Verb:
    return Verb(f"{stem}s", stem, participle, place, after)


_STANDS, _RESTS = _regular("stand", "standing"), _regular("sit", "sitting")
_VERBS: Mapping[str, tuple[Verb, ...]] = {
    "standing": (_STANDS, _STANDS, _STANDS),
    "running": (_regular("run", "running", "along"), _regular("run", "running", "along"),
                Verb("races", "race", "racing", "along")),
    "jumping": (_regular("jump", "jumping"), _regular("leap", "leaping"),
                _regular("jump", "jumping", after="in the air")),
    "sitting": (_RESTS, _RESTS, _regular("sit", "sitting", after="down")),
    "waving": (_regular("wave", "waving"), _regular("wave", "waving", after="one hand"),
               _regular("wave", "waving", after="hello")),
    "swimming": (_regular("swim", "swimming", "along"), _regular("swim", "swimming")),
    "sleeping": (_regular("sleep", "sleeping"), Verb("lies", "lie", "lying", after="asleep"),
                 Verb("rests", "rest", "resting")),
    "flying": (Verb("flies", "fly", "flying", "over"), Verb("flies", "fly", "flying", "over"),
               _regular("soar", "soaring", "over")),
    "floating": (_regular("float", "floating"), _regular("float", "floating"), _regular("drift", "drifting")),
    "lying": (Verb("lies", "lie", "lying"), _RESTS, _RESTS),
    "rolling": (_regular("roll", "rolling", "along"),),
    "bouncing": (_regular("bounce", "bouncing"), Verb("bounces", "bounce", "bouncing"),
                 _regular("bounce", "bouncing", after="up")),
    "steaming": (_regular("steam", "steaming"), _STANDS),
    "smoking": (_STANDS,),
    "parked": (Verb("is parked", "are parked", "parked"), Verb("stands", "stand", "standing"),
               Verb("is parked", "are parked", "parked")),
    "driving": (_regular("drive", "driving", "along"), _regular("drive", "driving", "along"),
                _regular("speed", "speeding", "along")),
    "sailing": (_regular("sail", "sailing", "along"), _regular("sail", "sailing")),
}  # fmt: skip


def predicate(rng: random.Random, group: Group, ground: str | None) -> str:
    """Says what a group does, and where if `ground` is given: "runs through the snow", "are sitting on the grass"."""
    chosen = rng.choice(_VERBS[group.action])
    is_progressive = chosen.participle != "parked" and rng.random() < 0.45
    if is_progressive:
        words = f"{'are' if group.count > 1 else 'is'} {chosen.participle}"
    else:
        words = chosen.plural if group.count > 1 else chosen.singular
    return _join(words, chosen.after, _place(rng, chosen, ground))


def participle_clause(rng: random.Random, group: Group, ground: str | None) -> str:
    """The same without a finite verb: "running through the snow"."""
    chosen = rng.choice(_VERBS[group.action])
    return _join(chosen.participle, chosen.after, _place(rng, chosen, ground))


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)


_PLACES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "grass": {
        "at": ("on the grass", "in the grass", "in a grassy field", "on a green lawn"),
        "along": ("across the grass", "through a grassy field", "through the grass", "across a green field"),
        "over": ("over the grass", "above a green field", "over a meadow"),
        "setting": ("in a green field", "on the grass"),
    },
    "sand": {
        "at": ("on the beach", "on the sand", "in the sand", "on a sandy beach"),
        "along": ("along the beach", "across the sand", "on the beach"),
        "over": ("over the beach", "above the sand", "over a sandy beach"),
        "setting": ("on the beach", "at the beach"),
    },
    "snow": {
        "at": ("in the snow", "on the snow", "on snowy ground", "in a snowy field"),
        "along": ("through the snow", "across the snow", "through a snowy field"),
        "over": ("over the snow", "above a snowy field", "over snowy ground"),
        "setting": ("in the snow", "on snowy ground"),
    },
    "street": {
        "at": ("on the street", "on the road", "in the street", "on a paved road"),
        "along": ("down the street", "along the road", "across the street", "down the road"),
        "over": ("over the street", "above the road"),
        "setting": ("on the street", "on a paved road"),
    },
    "water": {
        "at": ("in the water", "in the lake", "on the water", "in blue water"),
        "along": ("through the water", "across the lake", "in the water"),
        "over": ("over the water", "above the lake", "over the lake"),
        "setting": ("out on the water", "on the lake"),
    },
    "wood floor": {
        "at": ("on a wooden floor", "on the wooden floor", "on the hardwood floor", "on the floor indoors"),
        "along": ("across the wooden floor", "across the floor", "over the hardwood floor"),
        "over": ("over the wooden floor",),
        "setting": ("inside a room", "indoors"),
    },
}


def _place(rng: random.Random, chosen: Verb, ground: str | None) -> str:
    return "" if ground is None else rng.choice(_PLACES[ground][chosen.place])


def setting_phrase(rng: random.Random, group: Group, ground: str) -> str:
    """Says where a group is, whatever it does there: "on the beach", and "over the beach" of what flies."""
    return rng.choice(_PLACES[ground]["over" if group.action == "flying" else "setting"])


_SKIES: Mapping[str, tuple[str, ...]] = {
    "clear": ("on a sunny day", "under a blue sky", "on a bright day", "under a clear sky"),
    "cloudy": ("on a cloudy day", "under a cloudy sky", "under gray clouds"),
    "sunset": ("at sunset", "in the evening", "under an orange sky", "as the sun sets"),
    "night": ("at night", "in the dark", "under the stars", "under a night sky"),
    "indoors": ("inside a room", "indoors", "in a room"),
}
_BACKDROPS: Mapping[str, tuple[str, ...]] = {
    "hills": ("with hills in the background", "in front of green hills", "near the hills"),
    "mountains": ("with mountains in the background", "near the mountains", "in front of snowy mountains"),
}


def atmosphere(rng: random.Random, sky: str, backdrop: str) -> str:
    """Says what light there is, or what stands far behind."""
    return rng.choice(_SKIES[sky] + _BACKDROPS.get(backdrop, ()))
