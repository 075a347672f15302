"""What an image is like: properties from what people say, and thirds of numbers."""

import numpy as np
import pytest

from captiongen.analysis.errors.corpus import CaptionCorpus
from captiongen.analysis.errors.fact_reader import FactReader
from captiongen.analysis.slicing.clusters import cluster_pictures
from captiongen.analysis.slicing.pictures import measure_picture
from captiongen.analysis.slicing.properties import Property, labelled, text_properties, thirds

REFERENCES = {
    "dogs": (
        "Two brown dogs run on grass.",
        "Two dogs are running.",
        "Dogs play on the lawn.",
        "Two brown puppies run.",
    ),
    "boy": ("A boy in a red shirt rides a bicycle.", "A child on a bike.", "A boy rides a red bike down a road."),
    "crowd": ("Five people stand near a lake.", "A group of people by the water.", "People stand at a lake."),
}


@pytest.mark.parametrize(
    ("image", "group", "value"),
    [
        ("dogs", "topic", "dogs"), ("dogs", "topic", "animals"), ("dogs", "how many", "2"), ("dogs", "action", "run"),
        ("dogs", "colour", "brown"), ("boy", "topic", "people"), ("boy", "topic", "children"), ("boy", "how many", "1"),
        ("boy", "topic", "vehicles"), ("crowd", "topic", "water"), ("crowd", "how many", "3 or more"),
    ],
)  # fmt: skip
def test_what_enough_people_say_is_a_property(reader: FactReader, image: str, group: str, value: str):
    """Topics come from WordNet, numbers from the one the caption is about, and synonyms count."""
    members = text_properties(REFERENCES, reader)
    assert members[Property(group, value)][list(REFERENCES).index(image)]


def test_what_one_of_many_says_is_none(reader: FactReader):
    """A property that a single person of four names is not the image's; other images do not have it either."""
    members = text_properties({**REFERENCES, "dogs": (*REFERENCES["dogs"][1:], "A man watches.", "Two dogs.")}, reader)
    assert not members[Property("topic", "people")][0]
    assert not members[Property("topic", "dogs")][1]


def test_rare_words_are_rare_in_the_training_captions(reader: FactReader):
    """Without them the question is not asked."""
    training = {str(i): ("Dogs run on grass. A boy rides a bike. People stand by the water.",) for i in range(20)}
    corpus = CaptionCorpus.of(training, reader)
    rare = text_properties({"a": ("a platypus", "a platypus"), "b": ("dogs run", "a dog")}, reader, corpus)
    assert rare[Property("rare words", "yes")].tolist() == [True, False]
    assert not any(name.group == "rare words" for name in text_properties(REFERENCES, reader))


def test_thirds_cover_every_known_number_once():
    """Each known value is in exactly one third, of about equal size; an unknown one in none."""
    values = np.array([*range(30), np.nan])
    found = thirds("size", values, ("small", "middling", "large"))
    assert np.sum(list(found.values()), axis=0).tolist() == [1] * 30 + [0]
    assert all(mask.sum() == 10 for mask in found.values())
    assert thirds("size", np.full(9, 2.0), ("small", "middling", "large")) == {}


def test_labels_make_a_slice_each():
    """Every image is in the slice of its label."""
    assert {str(name): mask.tolist() for name, mask in labelled("shape", ["wide", "square", "wide"]).items()} == {
        "shape: square": [False, True, False],
        "shape: wide": [True, False, True],
    }


def test_dark_and_blurred_pictures_measure_so():
    """Half the light is half the brightness; a smoothed picture is less sharp."""
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    smooth = np.full_like(noise, 100)
    assert measure_picture(noise // 2).brightness == pytest.approx(measure_picture(noise).brightness / 2, rel=0.02)
    assert measure_picture(smooth).sharpness < measure_picture(noise).sharpness


def test_look_alikes_are_named_by_what_sets_them_apart(reader: FactReader):
    """Two groups of features become two clusters, each named by its own words."""
    features = np.concatenate([np.eye(4)[[0]].repeat(50, axis=0), np.eye(4)[[1]].repeat(50, axis=0)])
    features += np.random.default_rng(0).normal(0, 0.01, features.shape)
    references = {str(i): ("a dog in the snow",) if i < 50 else ("a man on a bike",) for i in range(100)}
    names = cluster_pictures(features.astype(np.float32), references, reader)
    assert len(set(names[:50])) == len(set(names[50:])) == 1
    assert set(names[0].split(", ")) == {"dog", "snow"}
    assert set(names[99].split(", ")) == {"man", "bike"}
