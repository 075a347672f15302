"""What the analysis proposes for the next training."""

import pytest

from captiongen.analysis.errors.corpus import CaptionCorpus
from captiongen.analysis.errors.fact_reader import FactReader
from captiongen.analysis.slicing.properties import Property
from captiongen.analysis.slicing.proposals import propose_weights
from captiongen.analysis.slicing.slices import Interval, Slice

TRAINING = {f"{i:03d}": ("a dog runs", "the dog is running") if i < 20 else ("a man sits", "a man") for i in range(100)}


def worse(*properties: Property) -> Slice:
    some = Interval(0.6, 0.5, 0.7)
    return Slice(properties, ("x", "y"), some, 80.0, some, 0.13, 0.004)


def proposed(reader: FactReader, *slices: Slice):
    return propose_weights(slices, TRAINING, reader, CaptionCorpus.of(TRAINING, reader))


def test_training_images_of_a_failing_slice_are_to_be_shown_twice(reader: FactReader):
    """The proposal names the training images that have the property, why, and how sure it is."""
    (one,) = proposed(reader, worse(Property("topic", "dogs")))
    assert one.image_ids == tuple(f"{i:03d}" for i in range(20))
    assert one.weight == 2.0
    assert one.score == pytest.approx(0.996)
    assert one.reason.startswith("topic: dogs: badness +0.13")


@pytest.mark.parametrize(
    "properties",
    [
        (Property("brightness", "dark"),), (Property("topic", "people"),), (Property("topic", "food"),),
        (Property("topic", "dogs"), Property("look-alikes", "dog, run")),
    ],
)  # fmt: skip
def test_what_captions_do_not_tell_or_nearly_all_images_are_is_not_proposed(
    reader: FactReader, properties: tuple[Property, ...]
):
    """Properties of pictures, slices of more than half of the training images, and of hardly any, make no proposal."""
    assert proposed(reader, worse(*properties)) == ()


def test_nothing_is_proposed_where_nothing_fails(reader: FactReader):
    """No worse slice, no proposal."""
    assert proposed(reader) == ()
