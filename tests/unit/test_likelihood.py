"""How likely a captioner finds given captions."""

import numpy as np
import pytest
import torch

from captiongen.likelihood import CaptionLikelihood, under_each_image
from captiongen.model.checkpoint import load_captioner
from tests.tiny import tiny_model_folder

CAPTIONS = [["A red ball .", "there is a green box in the dark"], ["a zebra"], []]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load_captioner(tiny_model_folder(tmp_path_factory.mktemp("model") / "captioner", seed=1))


@pytest.fixture(scope="module")
def features(loaded):
    with torch.inference_mode():
        pictures = torch.randint(256, (3, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        return loaded.captioner.encoder.eval()(pictures)


@pytest.fixture(scope="module")
def ask(loaded):
    return CaptionLikelihood(loaded.captioner.decoder, loaded.tokenizer)


def test_each_token_has_the_probability_that_the_decoder_gives_it_step_by_step(loaded, features, ask):
    """What is read at once is what the decoder says token by token."""
    scored = ask(features, CAPTIONS)[0][1]
    decoder, last, expected = loaded.captioner.decoder, loaded.tokenizer.bos_id, []
    with torch.inference_mode():
        state = decoder.start(features[:1])
        for token in scored.tokens:
            logits, state, _ = decoder.advance(state, torch.tensor([[[last]]]))
            expected.append(float(logits[0, 0, 0].log_softmax(-1)[token]))
            last = token
    np.testing.assert_allclose(scored.log_probabilities, expected, atol=1e-5)
    assert scored.tokens[-1] == loaded.tokenizer.eos_id
    assert scored.total == pytest.approx(sum(expected), abs=1e-4)
    assert scored.mean == pytest.approx(sum(expected) / len(expected), abs=1e-5)


def test_captions_keep_their_order_and_do_not_disturb_each_other(features, ask):
    """A caption alone has the likelihood that it has beside others; an image without captions has none."""
    together = ask(features, CAPTIONS)
    assert [len(of_one) for of_one in together] == [2, 1, 0]
    for image, captions in enumerate(CAPTIONS):
        for place, caption in enumerate(captions):
            alone = ask(features[[image]], [[caption]])[0][0]
            assert together[image][place].tokens == alone.tokens
            np.testing.assert_allclose(together[image][place].log_probabilities, alone.log_probabilities, atol=1e-5)


def test_unknown_words_and_captions_longer_than_the_model_writes_are_scored_as_far_as_it_knows(loaded, features, ask):
    """An unknown word is the token for unknown words; a caption is cut where the model would have to stop."""
    assert ask(features[:1], [["zebra"]])[0][0].tokens == (loaded.tokenizer.unk_id, loaded.tokenizer.eos_id)
    long = ask(features[:1], [["red ball " * 30]])[0][0]
    assert len(long.tokens) == loaded.captioner.decoder.max_tokens
    assert np.isfinite(long.total)


@pytest.mark.parametrize("captions_per_pass", [1, 2, 10])
def test_captions_under_each_image_are_the_same_however_many_are_asked_at_once(features, ask, captions_per_pass: int):
    """Each caption comes back in its place with its likelihood under every image; of no captions nothing comes."""
    captions = ["a red ball", "there is a green box in the dark", "a zebra"]
    found = list(under_each_image(ask, features, captions, captions_per_pass=captions_per_pass))
    assert len(found) == len(captions)
    for caption, of_caption in zip(captions, found, strict=True):
        for image, one in enumerate(of_caption):
            np.testing.assert_allclose(one.total, ask(features[[image]], [[caption]])[0][0].total, atol=1e-4)
        assert len(of_caption) == len(features)
    assert not list(under_each_image(ask, features, [], captions_per_pass=captions_per_pass))
