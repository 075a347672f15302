"""What a reranker remembers, and what it makes of a picture."""

import pytest
import torch

from captiongen.model.matcher import CaptionMatcher
from captiongen.model.reranker import EVIDENCE, Reranker
from captiongen.params import MatcherParams, RerankerParams
from tests.tiny import COLOURS, THINGS, tiny_captions, tiny_tokenizer

CAPTIONS = [tiny_captions(colour, thing) for colour in COLOURS for thing in THINGS]
NUM_CHANNELS = 6


def _made(**changes: object) -> tuple[Reranker, torch.Tensor]:
    torch.manual_seed(0)
    params = RerankerParams.model_validate({"matcher": MatcherParams(width=8), "num_neighbours": 3, **changes})
    matcher = CaptionMatcher(params.matcher, num_channels=NUM_CHANNELS, tokenizer=tiny_tokenizer()).eval()
    pooled = torch.randn(len(CAPTIONS), NUM_CHANNELS)
    return Reranker.remembering(params, matcher, pooled, CAPTIONS), pooled


def test_every_caption_is_remembered_with_its_picture():
    """Word for word, in order, however long."""
    reranker, _ = _made()
    tokenizer = tiny_tokenizer()
    assert reranker.captions() == [[tuple(tokenizer.encode(text)[1:-1]) for text in of_one] for of_one in CAPTIONS]


def test_until_weights_are_fitted_the_likelihood_alone_decides():
    """A new one changes no order."""
    assert dict(zip(EVIDENCE, _made()[0].weights.tolist(), strict=True)) == {
        "likelihood": 1.0,
        "likeness": 0.0,
        "agreement": 0.0,
    }


def test_a_remembered_picture_is_its_own_nearest_neighbour():
    """The neighbours come nearest first, as many as asked for, and weigh 1 together."""
    reranker, pooled = _made()
    for place, features in enumerate(pooled):
        _, neighbours = reranker.look(features[:, None, None].expand(-1, 2, 2))
        assert neighbours[0][0] == place
        weights = [weight for _, weight in neighbours]
        assert len(weights) == 3
        assert weights == sorted(weights, reverse=True)
        assert sum(weights) == pytest.approx(1.0)


def test_there_may_be_fewer_pictures_than_neighbours_asked_for():
    """All of them are asked then."""
    reranker, pooled = _made(num_neighbours=60)
    assert len(reranker.look(pooled[0][:, None, None])[1]) == len(CAPTIONS)


def test_a_low_temperature_trusts_the_nearest_alone():
    """And a high one nobody more than another."""
    for temperature, expected in ((0.001, 1.0), (1000.0, 1 / 3)):
        reranker, pooled = _made(temperature=temperature)
        assert reranker.look(pooled[0][:, None, None])[1][0][1] == pytest.approx(expected, abs=0.01)


def test_likeness_is_that_of_the_matcher():
    """The cosine of the picture's and the caption's points; 0 for a caption without words."""
    reranker, pooled = _made()
    seen, _ = reranker.look(pooled[0][:, None, None])
    words = [tiny_tokenizer().encode(text)[1:-1] for text in CAPTIONS[0]]
    found = reranker.likeness(seen, [*words, []])
    expected = torch.from_numpy(reranker.matcher.embed(CAPTIONS[0])).float() @ reranker.matcher.images(pooled[:1])[0]
    torch.testing.assert_close(found[:-1], expected)
    assert found[-1] == 0.0


def test_one_is_built_that_a_stored_state_fits():
    """All tensors come back, and with them all answers."""
    reranker, pooled = _made()
    again = Reranker.fitting(reranker.params, reranker.state_dict(), tokenizer=tiny_tokenizer())
    again.load_state_dict(reranker.state_dict())
    assert again.eval().captions() == reranker.captions()
    assert again.look(pooled[2][:, None, None])[1] == reranker.look(pooled[2][:, None, None])[1]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("lengths", lambda tensor: tensor + 1),
        ("lengths", lambda tensor: -tensor),
        ("owners", lambda tensor: tensor - 1),
        ("owners", lambda tensor: tensor + len(CAPTIONS)),
        ("tokens", lambda tensor: tensor + tiny_tokenizer().vocabulary_size),
        ("tokens", lambda tensor: tensor - 1000),
        ("pictures", lambda tensor: tensor / 0.0),
        ("weights", lambda tensor: tensor * float("nan")),
    ],
)
def test_tensors_that_make_no_sense_are_refused(name, change):
    """A file whose shapes fit may still hold captions of no picture, or what is no number."""
    reranker, _ = _made()
    reranker.check()
    reranker.load_state_dict({**reranker.state_dict(), name: change(getattr(reranker, name))})
    with pytest.raises(ValueError, match="expected"):
        reranker.check()


def test_without_pictures_there_is_nothing_to_remember():
    """Such a reranker could compare a picture with none."""
    params = RerankerParams(matcher=MatcherParams(width=8))
    matcher = CaptionMatcher(params.matcher, num_channels=NUM_CHANNELS, tokenizer=tiny_tokenizer())
    with pytest.raises(ValueError, match="remembers pictures, found none"):
        Reranker(params, matcher, num_pictures=0, num_captions=0, num_tokens=0).check()
