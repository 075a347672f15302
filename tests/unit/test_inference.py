"""The one path from image to caption."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from captiongen.errors import Abandoned, CheckpointError, UsageError
from captiongen.inference import CachedNextToken, CaptionEngine
from captiongen.model.checkpoint import load_captioner
from captiongen.params import DecodeParams
from captiongen.types import Calibration, Sigmoid
from tests.tiny import COLOURS, tiny_model_folder, tiny_picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_model_folder(tmp_path_factory.mktemp("model") / "captioner", seed=1)


@pytest.fixture(scope="module")
def engine(folder):
    return CaptionEngine.load(folder)


@pytest.fixture
def pictures():
    return [tiny_picture(colour, seed=number, size=(80 + number, 64)) for number, colour in enumerate(COLOURS)]


@pytest.mark.parametrize("weights", ["fp32", "int8"])
def test_a_picture_gets_the_same_caption_alone_and_in_any_batch(engine, pictures, weights):
    """Batch and order change no caption."""
    decode = engine.manifest.decode.model_copy(update={"weights": weights})
    alone = [engine.caption([picture], decode=decode)[0] for picture in pictures]
    together = engine.caption(pictures, decode=decode)
    backwards = engine.caption(pictures[::-1], decode=decode)[::-1]
    captions = [[one.caption for one in result.hypotheses] for result in alone]
    assert [[one.caption for one in result.hypotheses] for result in together] == captions
    assert [[one.caption for one in result.hypotheses] for result in backwards] == captions


class Uncached(CachedNextToken):
    """Reads each whole prefix again at every call."""

    def __init__(self, decoder, features):
        super().__init__(decoder, features)
        self._start, self._prefixes = self._state, None

    def __call__(self, tokens, parents):
        if self._prefixes is None:
            self._prefixes = tokens[:, :, None]
        else:
            index = parents[:, :, None].expand(-1, -1, self._prefixes.shape[-1])
            self._prefixes = torch.cat([self._prefixes.gather(1, index), tokens[:, :, None]], dim=-1)
        self._state = self._start
        if self._prefixes.shape[-1] > 1:
            _, self._state, _ = self._decoder.advance(self._start, self._prefixes[..., :-1])
            parents = torch.arange(tokens.shape[1]).expand_as(tokens)
        return super().__call__(self._prefixes[..., -1], parents)

    def keep(self, images):
        self._start, self._prefixes = self._start.keep(images), self._prefixes[images]


@torch.inference_mode()
def test_cached_decoding_equals_uncached(folder):
    """Keys and values kept between steps, of the images still there, give the log-probabilities of reading anew."""
    decoder = load_captioner(folder).captioner.decoder
    generator = torch.Generator().manual_seed(0)
    channels = decoder.bridge[0].normalized_shape[0]
    features = torch.randn(3, channels, 4, 4, generator=generator)
    cached, uncached = CachedNextToken(decoder, features), Uncached(decoder, features)
    tokens, parents = torch.ones(3, 1, dtype=torch.long), torch.zeros(3, 1, dtype=torch.long)
    for staying in ([0, 1, 2], [0, 1, 2], [0, 2], [0, 1], [0, 1], [1], [0], [0]):
        one, two = cached(tokens, parents), uncached(tokens, parents)
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)
        cached.keep(torch.tensor(staying))
        uncached.keep(torch.tensor(staying))
        parents = torch.randint(0, tokens.shape[1], (len(staying), 4), generator=generator)
        tokens = torch.randint(4, one.shape[-1], (len(staying), 4), generator=generator)


def test_words_carry_the_model_s_probabilities(engine, pictures):
    """The product of the word probabilities and the end token is the caption's probability."""
    for result in engine.caption(pictures, decode=DecodeParams(method="greedy", max_tokens=12)):
        best = result.best
        assert " ".join(word.word for word in best.words) == best.caption
        total = float(np.sum(np.log([word.probability for word in best.words])))
        if best.is_complete:
            assert best.log_probability <= total + 1e-5
        else:
            assert best.log_probability == pytest.approx(total, abs=1e-4)


def test_attention_has_one_map_per_word(engine, pictures):
    """Each word's map over the feature grid sums to one, and asking for it changes no caption."""
    plain = engine.caption(pictures)
    for with_maps, without in zip(engine.caption(pictures, with_attention=True), plain, strict=True):
        assert with_maps.hypotheses == without.hypotheses
        assert with_maps.attention.shape == (len(with_maps.best.words), 4, 4)
        np.testing.assert_allclose(with_maps.attention.sum(axis=(1, 2)), 1.0, atol=1e-4)


def test_no_caption_is_empty_or_holds_a_special_token(engine, pictures):
    """Unknown, padding and begin tokens are never written, and the first token is a word."""
    for method in ("beam", "greedy", "sample"):
        for result in engine.caption(pictures, decode=DecodeParams(method=method, max_tokens=12, num_beams=4)):
            for one in result.hypotheses:
                assert one.caption
                assert "<" not in one.caption


def test_the_n_best_list_is_ordered_and_distinct(engine, pictures):
    """Alternatives come best first, without repeats."""
    options = DecodeParams(num_beams=5, num_hypotheses=5, max_tokens=12)
    for result in engine.caption(pictures, decode=options):
        keys = [(not one.is_complete, -one.score) for one in result.hypotheses]
        assert keys == sorted(keys)
        assert len({one.caption for one in result.hypotheses}) == len(result.hypotheses)


def test_consensus_chooses_among_the_same_beams(engine, pictures):
    """The n-best list holds the same captions in another order; asked for one, it gives the one they agree on."""
    beams = DecodeParams(num_beams=8, num_hypotheses=8, max_tokens=12)
    agreed = beams.model_copy(update={"choice": "consensus"})
    likeliest, chosen = engine.caption(pictures, decode=beams), engine.caption(pictures, decode=agreed)
    for one, other in zip(likeliest, chosen, strict=True):
        assert set(one.hypotheses) == set(other.hypotheses)
    assert [one.best for one in likeliest] != [one.best for one in chosen]
    only = engine.caption(pictures, decode=agreed.model_copy(update={"num_hypotheses": 1}))
    assert [result.hypotheses for result in only] == [(result.best,) for result in chosen]


def test_a_guarded_caption_never_says_a_word_twice(engine, pictures):
    """`no_repeat_ngram` reaches the search, and stands in what a metrics signature says of the decoding."""
    free = DecodeParams(method="greedy", max_tokens=12)
    guarded = free.model_copy(update={"no_repeat_ngram": 1})

    def repeats(decode):
        words = [result.best.caption.split() for result in engine.caption(pictures, decode=decode)]
        return [len(caption) - len(set(caption)) for caption in words]

    assert any(repeats(free))
    assert not any(repeats(guarded))
    assert guarded.describe() == f"{free.describe()} no_repeat_ngram=1"


def test_a_calibrated_captioner_says_how_sure_it_may_be(folder, pictures):
    """Confidences are what the manifest's sigmoids make of probabilities; below the limit a caption is doubtful."""
    loaded = load_captioner(folder)
    calibration = Calibration(word=Sigmoid(0.5, 0.1), caption=Sigmoid(2.0, -1.0))
    manifest = loaded.manifest.model_copy(update={"calibration": calibration})
    results = CaptionEngine(replace(loaded, manifest=manifest)).caption(pictures)
    for result, plain in zip(results, CaptionEngine(loaded).caption(pictures), strict=True):
        best = result.best
        assert best.confidence == Sigmoid(2.0, -1.0)(plain.best.mean_probability)
        assert [one.confidence for one in best.words] == [Sigmoid(0.5, 0.1)(one.probability) for one in best.words]
        assert {one.confidence for one in (plain.best, *plain.best.words)} == {None}
    limit = results[0].best.confidence
    asked = manifest.decode.model_copy(update={"min_confidence": limit})
    for result in CaptionEngine(replace(loaded, manifest=manifest)).caption(pictures, decode=asked):
        assert result.is_doubtful == (result.best.confidence < limit)
    assert not any(result.is_doubtful for result in CaptionEngine(loaded).caption(pictures, decode=asked))


def test_captions_longer_than_the_model_can_write_are_refused(engine, pictures):
    """Asking for more tokens than there are positions says how many there are."""
    with pytest.raises(UsageError, match="at most 12 tokens"):
        engine.caption(pictures, decode=engine.manifest.decode.model_copy(update={"max_tokens": 30}))


def test_no_pictures_give_no_captions(engine):
    """An empty batch is answered, not an error."""
    assert engine.caption([]) == []


def test_pictures_of_any_shape_are_captioned(engine):
    """Tall, wide and tiny pictures are prepared to the model's square."""
    shapes = [(640, 20), (20, 640), (3, 3)]
    assert len(engine.caption([tiny_picture(size=shape) for shape in shapes])) == len(shapes)


def test_results_can_be_compared(engine):
    """The same picture gives equal values: nothing in a result is random or identity-based."""
    [one], [two] = engine.caption([tiny_picture()]), engine.caption([tiny_picture()])
    assert replace(one) == replace(two)


def test_captions_that_nobody_wants_are_not_finished(folder):
    """The search asks before each word, and ends as soon as the answer is no."""
    engine, asked = CaptionEngine.load(folder), []

    def is_wanted():
        asked.append(True)
        return len(asked) < 3

    arrays = np.zeros((1, 64, 64, 3), dtype=np.uint8)
    with pytest.raises(Abandoned, match="after 2 words"):
        engine.caption_arrays(arrays, is_wanted=is_wanted)
    assert len(asked) == 3


def test_int8_weights_are_a_choice_that_metrics_and_answers_tell(engine, folder, pictures):
    """A manifest that asks for int8 is served so by default, says so in signatures, and moves what captions score."""
    compact = replace(
        load_captioner(folder),
        manifest=engine.manifest.model_copy(
            update={"decode": engine.manifest.decode.model_copy(update={"weights": "int8"})}
        ),
    )
    decode = compact.manifest.decode
    assert decode.describe() == f"{engine.manifest.decode.describe()} weights=int8"
    served = CaptionEngine(compact).caption(pictures, with_attention=True)
    assert [one.hypotheses for one in served] == [one.hypotheses for one in engine.caption(pictures, decode=decode)]
    scores = [
        [result.hypotheses[0].log_probability for result in results] for results in (served, engine.caption(pictures))
    ]
    assert scores[0] != scores[1]
    assert scores[0] == pytest.approx(scores[1], abs=0.5)
    assert served[0].attention is not None


@pytest.fixture(scope="module")
def reranking(tmp_path_factory):
    return CaptionEngine.load(tiny_model_folder(tmp_path_factory.mktemp("model") / "captioner", has_reranker=True))


def test_the_reranker_chooses_among_all_beams(reranking, pictures):
    """The list is cut after it is ordered; its scores fall, and asked to, the engine still takes the likeliest."""
    decode = reranking.manifest.decode.model_copy(update={"num_beams": 6, "num_hypotheses": 6})
    for picture in pictures:
        everything = reranking.caption([picture], decode=decode)[0].hypotheses
        [best] = reranking.caption([picture], decode=decode.model_copy(update={"num_hypotheses": 1}))[0].hypotheses
        assert best == everything[0]
        likeliest = reranking.caption([picture], decode=decode.model_copy(update={"choice": "likeliest"}))[0].hypotheses
        assert {one.caption for one in likeliest} == {one.caption for one in everything}
        for ordered in (everything, likeliest):
            scores = [(one.is_complete, one.score) for one in ordered]
            assert scores == sorted(scores, reverse=True)


def test_a_reranked_caption_is_the_same_alone_and_in_any_batch(reranking, pictures):
    """The evidence of one picture is its own."""
    alone = [reranking.caption([picture])[0].hypotheses[0].caption for picture in pictures]
    assert [one.hypotheses[0].caption for one in reranking.caption(pictures)] == alone


def test_greedy_search_and_samples_are_not_reranked(reranking, pictures):
    """There is nothing to choose among."""
    for method in ("greedy", "sample"):
        decode = reranking.manifest.decode.model_copy(update={"method": method})
        plain = decode.model_copy(update={"choice": "likeliest"})
        assert reranking.caption(pictures, decode=decode) == reranking.caption(pictures, decode=plain)


def test_a_choice_that_needs_a_reranker_is_refused_without_one(engine, folder, pictures):
    """When the captioner is loaded, and when it is asked."""
    decode = engine.manifest.decode.model_copy(update={"choice": "reranked"})
    with pytest.raises(UsageError, match=r"reranker: \{\}"):
        engine.caption(pictures, decode=decode)
    loaded = load_captioner(folder)
    with pytest.raises(UsageError, match="needs a captioner with a reranker"):
        CaptionEngine(replace(loaded, manifest=loaded.manifest.model_copy(update={"decode": decode})))


def test_weights_that_make_no_numbers_find_no_caption(folder, pictures):
    """A captioner whose weights are numbers and whose features are none is refused in words."""
    loaded = load_captioner(folder)
    loaded.captioner.encoder.register_forward_hook(lambda _module, _images, features: features / 0.0 * 0.0)
    with pytest.raises(CheckpointError, match="make numbers that are none"):
        CaptionEngine(loaded).caption(pictures[:1])
