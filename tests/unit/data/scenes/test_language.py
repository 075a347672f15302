"""Captions say what is there, nothing else, and each in its own words."""

import random
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from captiongen.data.scenes.compose import compose_scene
from captiongen.data.scenes.language import NUM_CAPTIONS, describe_scene
from captiongen.data.scenes.scene import Scene
from captiongen.data.scenes.world import COLOURS, KINDS

_SCENERY_COLOURS = {"green", "blue", "orange", "gray"}  # a green field, a blue sky, an orange sky, gray clouds
_NAMES = (
    {
        "man": {"man", "men", "guy", "guys", "person", "people", "boy", "boys", "child", "children"},
        "woman": {"woman", "women", "lady", "ladies", "person", "people", "girl", "girls", "child", "children"},
        "dog": {"dog", "dogs", "puppy", "puppies"},
        "cat": {"cat", "cats", "kitten", "kittens"},
        "box": {"box", "boxes", "cube", "cubes"},
        "cup": {"cup", "cups", "mug", "mugs"},
        "house": {"house", "houses", "home", "homes"},
        "car": {"car", "cars", "vehicle", "vehicles"},
        "boat": {"boat", "boats", "sailboat", "sailboats"},
    }
    | {kind: {kind, f"{kind}s"} for kind in ("bird", "ball", "tree", "kite")}
    | {"fish": {"fish"}}
)
_COUNT_WORDS = {"two": 2, "three": 3}


def _words(caption: str) -> list[str]:
    return re.findall(r"[a-z]+", caption.lower())


@st.composite
def captioned_scenes(draw: st.DrawFn) -> tuple[Scene, tuple[str, ...]]:
    """A scene and its captions."""
    rng = random.Random(draw(st.integers(0, 10**6)))
    scene = compose_scene(rng)
    return scene, describe_scene(rng, scene)


@settings(max_examples=300)
@given(captioned_scenes())
def test_five_different_sentences(captioned: tuple[Scene, tuple[str, ...]]):
    """There are five captions, all different, of 4 to 24 words, each a sentence."""
    captions = captioned[1]
    assert len(set(captions)) == NUM_CAPTIONS == 5
    for caption in captions:
        assert 4 <= len(caption.split()) <= 24
        assert re.fullmatch(r"[A-Z][a-z, ]+\.", caption), caption
        assert "  " not in caption


@settings(max_examples=300)
@given(captioned_scenes())
def test_captions_name_only_what_is_there(captioned: tuple[Scene, tuple[str, ...]]):
    """A kind, a colour or a number in a caption is that of a group in the scene; the subject is always named."""
    scene, captions = captioned
    kinds = {group.kind for group in scene.groups}
    colours = {group.colour.replace("grey", "gray") for group in scene.groups}
    absent = set().union(*(_NAMES[kind] for kind in KINDS if kind not in kinds))
    absent -= set().union(*(_NAMES[kind] for kind in kinds))
    for caption in captions:
        words = set(_words(caption.replace("grey", "gray")))
        assert words & _NAMES[scene.subject.kind], caption
        assert not words & absent, caption
        named = words & {colour.replace("grey", "gray") for colour in COLOURS}
        assert named - _SCENERY_COLOURS <= colours, caption
        counts = {count for word, count in _COUNT_WORDS.items() if word in words}
        assert counts == {scene.subject.count} - {1}, caption


@settings(max_examples=300)
@given(captioned_scenes())
def test_together_the_captions_tell_colour_and_relation(captioned: tuple[Scene, tuple[str, ...]]):
    """At least one caption names the subject's colour and, where there is one, the other thing with its colour."""
    scene, captions = captioned
    texts = [caption.lower().replace("grey", "gray") for caption in captions]
    wanted = [group.colour.replace("grey", "gray") for group in scene.groups]
    assert any(all(colour in text for colour in wanted) for text in texts)
    if scene.relation is not None:
        assert sum(bool(set(_words(text)) & _NAMES[scene.relation.other.kind]) for text in texts) >= 2


def test_articles_fit_their_words():
    """An `an` stands before every vowel and nowhere else."""
    for seed in range(300):
        rng = random.Random(seed)
        for caption in describe_scene(rng, compose_scene(rng)):
            for article, word in re.findall(r"\b(an?) (\w+)", caption.lower()):
                assert (article == "an") == (word[0] in "aeiou"), caption
