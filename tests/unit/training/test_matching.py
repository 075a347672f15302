"""A matcher learns which caption was written of which picture."""

import numpy as np
import pytest
import torch

from captiongen.errors import DataError
from captiongen.params import MatcherParams
from captiongen.training.inputs import pool
from captiongen.training.matching import train_matcher
from tests.tiny import COLOURS, THINGS, tiny_captions, tiny_tokenizer

SCENES = [(colour, thing) for colour in COLOURS for thing in THINGS]
CAPTIONS = [tiny_captions(*scene) for scene in SCENES]
PARAMS = MatcherParams(width=16, num_epochs=60, batch_size=8, learning_rate=0.02)


def _features() -> torch.Tensor:
    """One channel for each colour and thing, (images, C)."""
    names = [*COLOURS, *THINGS]
    return torch.tensor([[float(name in scene) for name in names] for scene in SCENES])


def test_captions_find_their_image():
    """After training most captions have their own image nearest; by chance one of eight would."""
    matcher = train_matcher(PARAMS, _features(), CAPTIONS, tiny_tokenizer())
    with torch.inference_mode():
        images = matcher.images(_features())
        nearest = [(matcher.captions(matcher.tokens(of_one)) @ images.T).argmax(dim=1) for of_one in CAPTIONS]
    found = torch.cat([of_one == place for place, of_one in enumerate(nearest)])
    assert found.float().mean() > 0.5


def test_the_same_seed_gives_the_same_matcher():
    """Nothing but data, settings and seed decides."""
    params = PARAMS.model_copy(update={"num_epochs": 2})
    first, second = (train_matcher(params, _features(), CAPTIONS, tiny_tokenizer()) for _ in range(2))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_one_image_is_not_enough():
    """Where nothing can be told apart nothing is learned, and that is said."""
    with pytest.raises(DataError, match="at least 2"):
        train_matcher(PARAMS, _features()[:1], CAPTIONS[:1], tiny_tokenizer())


def test_features_are_pooled_block_by_block():
    """More maps than fit into a block give each its own mean."""
    maps = np.random.default_rng(0).normal(size=(130, 3, 2, 2)).astype(np.float16)
    np.testing.assert_allclose(pool(maps), maps.astype(np.float32).mean(axis=(2, 3)), atol=1e-6)
