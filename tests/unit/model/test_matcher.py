"""Pictures and captions as points of one space."""

import numpy as np
import pytest
import torch

from captiongen.model.matcher import CaptionMatcher
from captiongen.params import MatcherParams
from tests.tiny import tiny_tokenizer

CAPTIONS = ["A red ball.", "there is a green box in the dark", "ball", "a zebra", "?!", ""]


@pytest.fixture
def matcher() -> CaptionMatcher:
    torch.manual_seed(0)
    return CaptionMatcher(MatcherParams(width=8), num_channels=4, tokenizer=tiny_tokenizer()).eval()


def test_captions_lie_on_the_unit_sphere_and_those_without_words_at_its_centre(matcher: CaptionMatcher):
    """Any caption has a finite place: unknown words too, and no words at all."""
    lengths = np.linalg.norm(matcher.embed(CAPTIONS), axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 1, 1, 0, 0], atol=1e-6)


def test_a_caption_lies_where_it_would_lie_alone(matcher: CaptionMatcher):
    """Padding beside longer captions moves nothing."""
    together = matcher.embed(CAPTIONS)
    alone = np.concatenate([matcher.embed([caption]) for caption in CAPTIONS])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_an_image_is_the_mean_of_its_features(matcher: CaptionMatcher):
    """A map of features and its mean over the positions are one point."""
    features = torch.randn(3, 4, 2, 2)
    torch.testing.assert_close(matcher.images(features), matcher.images(features.mean(dim=(2, 3))))
    torch.testing.assert_close(matcher.images(features).norm(dim=1), torch.ones(3))
