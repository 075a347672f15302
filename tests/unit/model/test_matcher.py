"""Pictures and captions as points of one space, and a folder that keeps them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from captiongen.errors import CheckpointError
from captiongen.model.matcher import CaptionMatcher, load_matcher, save_matcher
from captiongen.params import MatcherParams
from tests.tiny import tiny_tokenizer

FACTS = {"encoder_sha256": "0" * 64, "dataset": "tiny", "data_hash": "1" * 64, "dev_recall": 0.5, "code_version": "0"}
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


def test_a_saved_matcher_comes_back(matcher: CaptionMatcher, tmp_path: Path):
    """Half precision moves captions by less than a thousandth, and the manifest keeps the facts."""
    save_matcher(tmp_path / "matcher", matcher, FACTS)
    loaded, manifest = load_matcher(tmp_path / "matcher")
    np.testing.assert_allclose(loaded.embed(CAPTIONS), matcher.embed(CAPTIONS), atol=1e-3)
    assert manifest.params == matcher.params
    assert {name: getattr(manifest, name) for name in FACTS} == FACTS


@pytest.mark.parametrize("name", ["manifest.json", "matcher.safetensors", "tokenizer.json"])
def test_a_damaged_or_missing_file_is_refused(matcher: CaptionMatcher, tmp_path: Path, name: str):
    """A folder that is not whole is an error, not another score."""
    save_matcher(tmp_path / "matcher", matcher, FACTS)
    path = tmp_path / "matcher" / name
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(CheckpointError):
        load_matcher(tmp_path / "matcher")
    path.unlink()
    with pytest.raises(CheckpointError):
        load_matcher(tmp_path / "matcher")
