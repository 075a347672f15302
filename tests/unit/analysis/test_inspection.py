"""What the captioner had in mind: attention, its opinion of people's captions, and what it knew before."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from evaluated import captioned, hypothesis

from captiongen.analysis.inspection import inspect_captions, nearest_training_images
from captiongen.inference import CaptionEngine
from captiongen.model.checkpoint import load_captioner
from captiongen.types import CaptionedImage
from tests.tiny import tiny_model_folder, tiny_picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_model_folder(tmp_path_factory.mktemp("model") / "captioner", seed=1)


def test_a_caption_s_own_score_and_attention_are_those_of_its_search(folder):
    """What the engine returned with a caption is found again by reading the caption."""
    engine, loaded = CaptionEngine.load(folder), load_captioner(folder)
    picture = tiny_picture()
    (result,) = engine.caption([picture], with_attention=True)
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        features = loaded.captioner.encoder(pixels).numpy()
    said = CaptionedImage("a", result.hypotheses, tuple(one.caption for one in result.hypotheses))
    ((attention, scores),) = inspect_captions(loaded, features, [said])
    np.testing.assert_allclose(attention, result.attention, atol=1e-5)
    np.testing.assert_allclose(attention.sum(axis=(1, 2)), 1.0, atol=1e-5)
    complete = [i for i, one in enumerate(result.hypotheses) if one.is_complete]
    found = [result.hypotheses[i].score for i in complete]
    np.testing.assert_allclose([scores.references[i] for i in complete], found, atol=1e-4)


def test_its_own_captions_have_the_model_s_score_whatever_a_reranker_made_of_them(folder):
    """It is read off the log-probability and the number of tokens; the end is one, where there is an end."""
    loaded = load_captioner(folder)
    features = np.zeros((1, *loaded.captioner.encoder.measure(64)[:1], 4, 4), dtype=np.float16)
    ended, cut = (replace(hypothesis("a red ball", is_complete=whole), score=100.0) for whole in (True, False))
    ((_, scores),) = inspect_captions(loaded, features, [captioned("a", ended, cut)])
    penalty = loaded.manifest.decode.length_penalty
    expected = [ended.log_probability / 4**penalty, cut.log_probability / 3**penalty]
    np.testing.assert_allclose(scores.hypotheses, expected)


def test_a_reference_that_it_cannot_write_has_no_score(folder):
    """A word that it never learnt says nothing about its search."""
    loaded = load_captioner(folder)
    features = np.zeros((1, *loaded.captioner.encoder.measure(64)[:1], 4, 4), dtype=np.float16)
    image = captioned("a", hypothesis("a red ball"), references=("a zebra", "a red ball"))
    ((_, scores),) = inspect_captions(loaded, features, [image])
    unknown, known = scores.references
    assert math.isnan(unknown)
    assert known < 0


def test_the_nearest_training_image_is_never_the_image_itself():
    """A twin is found; an image of the training set finds the next one."""
    training = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.1]], dtype=np.float32)
    captions = {"a": ("first",), "b": ("second",), "c": ("third",)}
    near = nearest_training_images(["x", "a"], np.array([[2.0, 0.0], [1.0, 0.0]], np.float32), captions, training)
    assert near[0].image_id == "a"
    assert near[0].captions == ("first",)
    assert near[1].image_id != "a"
    assert -1.0 <= near[1].similarity <= near[0].similarity <= 1.0


def test_a_reference_longer_than_it_writes_has_no_score(folder):
    """Its beginning alone would be likelier than any whole caption."""
    loaded = load_captioner(folder)
    features = np.zeros((1, *loaded.captioner.encoder.measure(64)[:1], 4, 4), dtype=np.float16)
    image = captioned("a", hypothesis("a red ball"), references=("red ball " * 20,))
    ((_, scores),) = inspect_captions(loaded, features, [image])
    assert math.isnan(scores.references[0])
