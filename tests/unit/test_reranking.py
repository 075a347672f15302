"""The choice among captions by all that speaks for each."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from captiongen.decode.stepper import Decoded
from captiongen.metrics.cider import CiderScorer
from captiongen.reranking import NbestRanking
from captiongen.text.tokenizer import CaptionTokenizer
from tests.tiny import tiny_captions, tiny_reranker, tiny_tokenizer

NUM_CHANNELS = 5
EOS = CaptionTokenizer.eos_id


@pytest.fixture(scope="module")
def reranker():
    return tiny_reranker(NUM_CHANNELS)


@pytest.fixture(scope="module")
def ranking(reranker):
    return NbestRanking(reranker)


def hypothesis(caption: str, *, score: float = -1.0, is_complete: bool = True) -> Decoded:
    words = tiny_tokenizer().encode(caption)[1:-1]
    return Decoded((*words, *([EOS] if is_complete else [])), (), score, is_complete)


def features(seed: int = 0) -> torch.Tensor:
    return torch.randn(NUM_CHANNELS, 2, 2, generator=torch.Generator().manual_seed(seed))


def test_evidence_is_likelihood_likeness_and_what_people_wrote_of_similar_pictures(reranker, ranking):
    """Each by its definition; document frequencies are those of all remembered captions."""
    nbest = [hypothesis("a red ball", score=-0.5), hypothesis("the box looks blue", score=-0.7)]
    seen, neighbours = reranker.look(features())
    remembered = reranker.captions()
    scorer = CiderScorer({str(i): [[str(word) for word in words] for words in of] for i, of in enumerate(remembered)})
    agreement = [
        sum(
            weight * scorer.score(str(picture), [str(word) for word in one.tokens[:-1]])
            for picture, weight in neighbours
        )
        for one in nbest
    ]
    found = ranking.evidence(features(), nbest)
    np.testing.assert_allclose(found[:, 0], [-0.5, -0.7])
    np.testing.assert_allclose(found[:, 1], reranker.likeness(seen, [one.tokens[:-1] for one in nbest]), atol=1e-6)
    np.testing.assert_allclose(found[:, 2] * 100, agreement)


def test_a_caption_that_people_wrote_of_a_similar_picture_is_chosen(reranker, ranking):
    """It beats a slightly likelier one that nobody would write."""
    nearest = reranker.look(features())[1][0][0]
    said = tiny_tokenizer().decode(reranker.captions()[nearest][0])
    ordered = ranking(features(), [hypothesis("noise noise noise", score=-0.9), hypothesis(said, score=-1.0)])
    assert tiny_tokenizer().decode(ordered[0].tokens) == said


captions = st.sampled_from([text for colour in ("red", "blue") for text in tiny_captions(colour, "box")])
nbests = st.lists(
    st.builds(lambda text, score, done: hypothesis(text, score=score, is_complete=done), captions,
              st.floats(-5.0, 0.0), st.booleans()), min_size=1, max_size=6)  # fmt: skip


@given(nbest=nbests, seed=st.integers(0, 5))
def test_nothing_is_lost_and_complete_captions_stay_first(ranking, nbest, seed):
    """The same captions with new scores, each kind best first; the order in which they came decides nothing."""
    ordered = ranking(features(seed), nbest)
    assert sorted(one.tokens for one in ordered) == sorted(one.tokens for one in nbest)
    assert [one.is_complete for one in ordered] == sorted((one.is_complete for one in nbest), reverse=True)
    for is_complete in (True, False):
        scores = [one.score for one in ordered if one.is_complete is is_complete]
        assert scores == sorted(scores, reverse=True)
    backwards = ranking(features(seed), nbest[::-1])
    assert [one.score for one in backwards] == pytest.approx([one.score for one in ordered], abs=1e-5)
