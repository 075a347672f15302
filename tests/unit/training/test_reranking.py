"""A reranker is made after training: what it learns, and from what."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from captiongen.inference import search
from captiongen.metrics.cider import CiderScorer
from captiongen.model.reranker import Reranker
from captiongen.params import DecodeParams, MatcherParams, RerankerParams
from captiongen.reranking import NbestRanking
from captiongen.text.normalise import metric_tokens
from captiongen.training.reranking import fit_weights, least_squares, train_reranker
from tests.tiny import COLOURS, IMAGE_SIZE_PX, THINGS, tiny_captioner, tiny_captions, tiny_reranker, tiny_tokenizer

SCENES = [(colour, thing) for colour in COLOURS for thing in THINGS]
CAPTIONS = [tiny_captions(*scene) for scene in SCENES]
PARAMS = RerankerParams(
    matcher=MatcherParams(width=16, num_epochs=60, batch_size=8, learning_rate=0.02), num_neighbours=2
)


def _telling() -> np.ndarray:
    """One channel for each colour and thing, (images, C)."""
    names = [*COLOURS, *THINGS]
    return np.array([[float(name in scene) for name in names] for scene in SCENES], dtype=np.float32)


def test_after_training_a_picture_finds_pictures_with_like_captions():
    """The matcher has learned; the train split is remembered whole."""
    reranker = train_reranker(PARAMS, tiny_tokenizer(), pooled=_telling(), captions=CAPTIONS)
    assert len(reranker.captions()) == len(SCENES)
    for place, pooled in enumerate(_telling()):
        seen, neighbours = reranker.look(torch.from_numpy(pooled)[:, None, None])
        assert neighbours[0][0] == place
        words = [tiny_tokenizer().encode(text)[1:-1] for text in ("a red ball", "a blue box")]
        red_ball, blue_box = reranker.likeness(seen, words).tolist()
        if SCENES[place] in (("red", "ball"), ("blue", "box")):
            assert (red_ball > blue_box) == (SCENES[place] == ("red", "ball"))


def test_weights_are_fitted_on_the_captions_found():
    """Of each image, all its beams, whatever `decode` asks for: those weights, and the reranker has them afterwards."""
    captioner, tokenizer = tiny_captioner(), tiny_tokenizer()
    num_channels, grid_size = captioner.encoder.measure(IMAGE_SIZE_PX)
    features = np.random.default_rng(0).normal(size=(len(SCENES), num_channels, grid_size, grid_size))
    dev = {"-".join(scene): captions for scene, captions in zip(SCENES, CAPTIONS, strict=True)}
    reranker = tiny_reranker(num_channels)
    decode = DecodeParams(num_beams=4, num_hypotheses=1, max_tokens=8)
    found = fit_weights(reranker, captioner, tokenizer, decode, features=features, dev=dev)
    np.testing.assert_allclose(reranker.weights, found, rtol=1e-6)

    scorer = CiderScorer({name: [metric_tokens(text) for text in of_one] for name, of_one in dev.items()})
    ranking, evidence, worth = NbestRanking(reranker), [], []
    wide = decode.model_copy(update={"num_hypotheses": 4})
    for name, maps in zip(dev, torch.from_numpy(features).float(), strict=True):
        with torch.inference_mode():
            [nbest] = search(captioner.decoder, maps[None], wide)
        evidence.append(ranking.evidence(maps, nbest))
        worth.append(np.array([scorer.score(name, metric_tokens(tokenizer.decode(one.tokens))) for one in nbest]))
    np.testing.assert_allclose(found, least_squares(evidence, worth), rtol=1e-3, atol=1e-6)
    assert found[1:].any()


@given(
    true=st.lists(st.floats(0.1, 5.0), min_size=2, max_size=2),
    easy=st.lists(st.floats(-50.0, 50.0), min_size=4, max_size=4),
    seed=st.integers(0, 100),
)
def test_what_all_captions_of_an_image_share_counts_for_nothing(true, easy, seed):
    """However easy an image is, the weights are those by which its captions differ."""
    rng = np.random.default_rng(seed)
    evidence = [rng.normal(size=(5, 2)) for _ in easy]
    worth = [of_one @ np.array(true) + level for of_one, level in zip(evidence, easy, strict=True)]
    np.testing.assert_allclose(least_squares(evidence, worth), true, rtol=1e-4)


def test_evidence_against_its_own_sense_is_not_heeded():
    """Where a kind of evidence speaks for the worse captions, its weight is 0 and not below."""
    evidence = [np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 2.0]])]
    worth = [evidence[0] @ np.array([3.0, -1.0])]
    assert least_squares(evidence, worth)[1] == 0.0


@pytest.mark.parametrize("worth", [[0.0, 0.0], [5.0, 5.0]])
def test_where_nothing_tells_captions_apart_the_search_keeps_its_order(worth):
    """A dev split in which all captions are worth the same teaches nothing."""
    weights = least_squares([np.array([[1.0, 0.3, 0.2], [2.0, 0.1, 0.7]])], [np.array(worth)])
    assert weights.tolist() == [1.0, 0.0, 0.0]


def test_a_reranker_is_made_of_what_was_given():
    """Nothing is drawn from a generator that was not seeded."""
    first, second = (train_reranker(PARAMS, tiny_tokenizer(), pooled=_telling(), captions=CAPTIONS) for _ in range(2))
    assert isinstance(first, Reranker)
    for (name, one), other in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
