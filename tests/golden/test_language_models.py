"""Our decoder with a pretrained model's weights computes what transformers computes with them.

`make_language_models.py` wrote the models, tokens and logits, with transformers itself.
"""

import pytest
import torch
from safetensors.torch import load_file

from captiongen.model.decoder import CaptionDecoder
from captiongen.model.decoder_state import DecoderState
from captiongen.model.pretrained import load_pretrained
from captiongen.text.pretrained import cut_tokenizer, open_tokenizer, pretrained_ids
from tests.tiny import LANGUAGE_MODELS, language_model_params, tiny_all_captions


@pytest.mark.parametrize("name", ["gpt2", "bert", "roberta"])
@torch.inference_mode()
def test_logits_are_those_of_transformers(name: str):
    """Over the same memory, with the same attention to it, each token's logits agree, all at once and one by one."""
    folder = LANGUAGE_MODELS / name
    pretrained = open_tokenizer(folder / "tokenizer.json")
    tokenizer = cut_tokenizer(tiny_all_captions(), pretrained)
    params = language_model_params(name)
    decoder = CaptionDecoder(
        params, vocabulary_size=tokenizer.vocabulary_size, num_channels=8, grid_size=3, max_tokens=12
    ).eval()
    load_pretrained(decoder, tokenizer)
    given = load_file(folder / "expected.safetensors")
    tokens, memory, expected = (given.pop(key) for key in ("tokens", "memory", "logits"))
    assert not decoder.load_state_dict(given, strict=False).unexpected_keys

    ids = pretrained_ids(tokenizer, pretrained)
    own = torch.tensor([ids.index(token) for token in tokens[0].tolist()])[None, None]  # (1, 1, T)
    projected = tuple(layer.cross_attention.project(memory) for layer in decoder.layers)
    state = DecoderState(projected)
    at_once, _, _ = decoder.advance(state, own)
    torch.testing.assert_close(at_once[0], expected[..., ids], atol=1e-5, rtol=1e-5)
    for position in range(own.shape[-1]):
        logits, state, _ = decoder.advance(state, own[..., position : position + 1])
        torch.testing.assert_close(logits[0, 0, 0], expected[0, position, ids], atol=1e-5, rtol=1e-5)
