"""How well captions fit a picture, by a captioner and a matcher."""

import math

import numpy as np
import pytest
import torch

from captiongen.analysis.judging.grounding import Grounding
from captiongen.likelihood import CaptionLikelihood
from captiongen.model.checkpoint import LoadedCaptioner, load_captioner
from captiongen.model.matcher import CaptionMatcher
from captiongen.params import MatcherParams
from captiongen.types import ImageArray
from tests.tiny import tiny_model_folder, tiny_picture

CAPTIONS = ["a red ball", "There is a green box in the dark.", "a zebra on zebras", "?!", ""]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedCaptioner:
    return load_captioner(tiny_model_folder(tmp_path_factory.mktemp("model") / "captioner", seed=1))


@pytest.fixture(scope="module")
def pictures() -> dict[str, ImageArray]:
    colours = ("red", "green", "blue", "yellow")
    return {colour: np.array(tiny_picture(colour, seed=seed)) for seed, colour in enumerate(colours)}


@pytest.fixture(scope="module")
def matcher(loaded: LoadedCaptioner) -> CaptionMatcher:
    torch.manual_seed(0)
    num_channels, _ = loaded.captioner.encoder.measure(64)
    return CaptionMatcher(MatcherParams(width=8), num_channels=num_channels, tokenizer=loaded.tokenizer).eval()


def _total(loaded: LoadedCaptioner, picture: ImageArray, caption: str) -> tuple[float, int]:
    with torch.inference_mode():
        features = loaded.captioner.encoder(torch.from_numpy(picture[None]).permute(0, 3, 1, 2))
    found = CaptionLikelihood(loaded.captioner.decoder, loaded.tokenizer)(features, [[caption]])[0][0]
    return found.total, len(found.tokens)


def test_a_caption_is_held_against_its_likelihood_under_other_pictures(loaded, pictures):
    """Captions are ordered by log p(caption | image) - log mean p(caption | other image), per token."""
    background = {name: pictures[name] for name in ("green", "blue", "yellow")}
    scores = Grounding(loaded, background).score({"red": pictures["red"]}, {"red": CAPTIONS})
    pmi = []
    for caption in CAPTIONS:
        here, num_tokens = _total(loaded, pictures["red"], caption)
        elsewhere = np.mean([math.exp(_total(loaded, picture, caption)[0]) for picture in background.values()])
        pmi.append((here - math.log(elsewhere)) / num_tokens)
    logits = [math.log(score / (1 - score)) for score in (scores["red", caption] for caption in CAPTIONS)]
    slope, intercept = np.polyfit(pmi, logits, 1)
    assert slope > 0
    np.testing.assert_allclose(np.array(pmi) * slope + intercept, logits, atol=1e-3)


def test_an_image_is_not_held_against_itself(loaded, pictures):
    """Its own picture among the others changes nothing."""
    others = {name: pictures[name] for name in ("green", "blue")}
    without = Grounding(loaded, others).score({"red": pictures["red"]}, {"red": CAPTIONS})
    having = Grounding(loaded, others | {"red": pictures["red"]}).score({"red": pictures["red"]}, {"red": CAPTIONS})
    assert having == pytest.approx(without, abs=1e-5)


@pytest.mark.parametrize("num_others", [0, 1, 3])
@pytest.mark.parametrize("has_matcher", [False, True])
def test_every_caption_has_a_finite_score(loaded, pictures, matcher, num_others: int, has_matcher: bool):
    """Empty captions, unknown words, an image alone in the world: 0..1 for each."""
    background = dict(list(pictures.items())[1 : 1 + num_others])
    grounding = Grounding(loaded, background, matcher=matcher if has_matcher else None)
    scores = grounding.score(pictures, dict.fromkeys(pictures, CAPTIONS))
    assert scores.keys() == {(name, caption) for name in pictures for caption in CAPTIONS}
    assert all(0.0 < score < 1.0 for score in scores.values())


def test_company_does_not_change_a_score(loaded, pictures, matcher):
    """A caption of an image scores what it scores alone, however images and captions are batched."""
    background = {name: pictures[name] for name in ("green", "blue")}
    together = Grounding(loaded, background, matcher=matcher).score(pictures, dict.fromkeys(pictures, CAPTIONS))
    for name in ("red", "green"):
        alone = Grounding(loaded, background, matcher=matcher).score({name: pictures[name]}, {name: [CAPTIONS[1]]})
        assert alone[name, CAPTIONS[1]] == pytest.approx(together[name, CAPTIONS[1]], abs=1e-4)


def test_a_matcher_raises_what_lies_near_the_picture(loaded, pictures, matcher):
    """Of captions that the captioner finds equally likely, the one whose cosine is higher scores higher."""
    with torch.inference_mode():
        features = loaded.captioner.encoder(torch.from_numpy(pictures["red"][None]).permute(0, 3, 1, 2))
        cosines = (matcher.captions(matcher.tokens(CAPTIONS)) @ matcher.images(features).T)[:, 0].tolist()
    scores = Grounding(loaded, {}, matcher=matcher).score({"red": pictures["red"]}, {"red": CAPTIONS})
    order = sorted(range(len(CAPTIONS)), key=lambda i: cosines[i])
    found = [scores["red", CAPTIONS[i]] for i in order]
    assert found == sorted(found)
    assert found[0] < found[-1]
