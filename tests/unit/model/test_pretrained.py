"""Pretrained language models as decoders: what they begin as, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from captiongen.errors import PretrainedError
from captiongen.inference import CaptionEngine
from captiongen.model.decoder import CaptionDecoder
from captiongen.model.pretrained import load_pretrained, pretrained_decoder_params
from captiongen.params import DecoderParams
from captiongen.text.pretrained import folder_sha256
from tests.tiny import (
    COLOURS,
    LANGUAGE_MODELS,
    language_model_params,
    language_model_tokenizer,
    tiny_model_folder,
    tiny_picture,
    tiny_tokenizer,
)

NAMES = ["gpt2", "bert", "roberta"]
C, G = 8, 3


def new_decoder(params: DecoderParams, vocabulary_size: int) -> CaptionDecoder:
    torch.manual_seed(0)
    return CaptionDecoder(params, vocabulary_size=vocabulary_size, num_channels=C, grid_size=G, max_tokens=12).eval()


def pretrained_decoder(name: str, **changes: object) -> CaptionDecoder:
    params, tokenizer = language_model_params(name, **changes), language_model_tokenizer(name)
    decoder = new_decoder(params, tokenizer.vocabulary_size)
    load_pretrained(decoder, tokenizer)
    return decoder


@torch.inference_mode()
def logits_of(decoder: CaptionDecoder, *, seed: int = 0) -> Tensor:
    features = torch.randn(2, C, G, G, generator=torch.Generator().manual_seed(seed))
    tokens = torch.randint(4, decoder.embedding.num_embeddings, (2, 1, 6), generator=torch.Generator().manual_seed(1))
    return decoder.advance(decoder.start(features), tokens)[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_decoder_begins_as_the_language_model(name: str):
    """Untrained attention to the image adds nothing, but learns: its output has a gradient."""
    decoder = pretrained_decoder(name)
    torch.testing.assert_close(logits_of(decoder, seed=0), logits_of(decoder, seed=1))
    tokens = torch.tensor([[[1, 5, 6]]])
    decoder.advance(decoder.start(torch.ones(1, C, G, G)), tokens)[0].logsumexp(-1).sum().backward()
    for layer in decoder.layers:
        assert float(layer.cross_attention.output.weight.grad.abs().max()) > 0


@pytest.mark.parametrize("name", NAMES)
def test_the_first_layers_can_be_taken(name: str):
    """A decoder with fewer layers than the model begins with the model's first ones."""
    whole, short = pretrained_decoder(name), pretrained_decoder(name, num_layers=1)
    assert len(short.layers) == 1
    weights = whole.layers[0].state_dict()
    for key, tensor in short.layers[0].state_dict().items():
        if "cross_attention" not in key:
            assert torch.equal(tensor, weights[key]), key


def test_a_saved_captioner_needs_no_language_model(tmp_path: Path):
    """Once saved it loads and captions, in any batch, looks at the image, and the model's folder may be gone."""
    source = tmp_path / "model"
    shutil.copytree(LANGUAGE_MODELS / "bert", source)
    params = language_model_params("bert", weights=str(source))
    folder = tiny_model_folder(
        tmp_path / "captioner", decoder=params, tokenizer=language_model_tokenizer("bert"), seed=3
    )
    shutil.rmtree(source)
    engine = CaptionEngine.load(folder)
    assert engine.manifest.decoder == params
    pictures = [tiny_picture(colour, seed=number) for number, colour in enumerate(COLOURS)]
    together = engine.caption(pictures, with_attention=True)
    assert [one.best.caption for one in together] == [engine.caption([one])[0].best.caption for one in pictures]
    for result in together:
        assert result.best.caption
        assert result.attention.shape == (len(result.best.words), 4, 4)


def changed_model(folder: Path, name: str = "bert", **settings: object) -> Path:
    """A copy whose config says something else."""
    shutil.copytree(LANGUAGE_MODELS / name, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))
    return folder


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_type": "t5"}, r"gpt2, bert, roberta\), found model_type 't5'"),
        ({"hidden_act": "relu"}, r"expected .*gelu.* found \{'hidden_act': 'relu'\}"),
        ({"hidden_size": None}, r"expected the sizes .*hidden_size"),
    ],
)
def test_models_that_cannot_be_computed_alike_are_refused(tmp_path: Path, settings: dict[str, object], message: str):
    """Another family, activation or a config without sizes is named, not guessed at."""
    with pytest.raises(PretrainedError, match=message):
        pretrained_decoder_params(changed_model(tmp_path / "model", **settings) / "config.json")


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_a_config_that_is_none_is_named(tmp_path: Path, text: str):
    """A file that is no config of a model is an error that names it."""
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(PretrainedError, match=r"config\.json is no config"):
        pretrained_decoder_params(tmp_path / "config.json")


def test_settings_of_another_size_are_answered_with_the_right_ones():
    """A decoder wider than the model, or with more layers, is told the lines to write."""
    for changes in ({"width": 32}, {"num_layers": 3}):
        with pytest.raises(PretrainedError, match="Set architecture: bert, width: 16, num_layers: 2, num_heads: 2"):
            pretrained_decoder("bert", **changes)


def test_a_tokenizer_of_the_data_alone_is_refused():
    """Words that the model does not know as pieces cannot begin with its embeddings."""
    params, tokenizer = language_model_params("gpt2"), tiny_tokenizer()
    with pytest.raises(PretrainedError, match=r"preprocess\.tokenizer"):
        load_pretrained(new_decoder(params, tokenizer.vocabulary_size), tokenizer)


def changed_tensors(folder: Path, change: Callable[[str, Tensor], tuple[str, Tensor]]) -> DecoderParams:
    """Settings for a copy of the small BERT in which tensors have other names or values."""
    shutil.copytree(LANGUAGE_MODELS / "bert", folder)
    state = load_file(folder / "model.safetensors")
    save_file(dict(change(name, tensor) for name, tensor in state.items()), folder / "model.safetensors")
    return language_model_params("bert", weights=str(folder), weights_sha256=folder_sha256(folder))


def loaded(params: DecoderParams) -> CaptionDecoder:
    tokenizer = language_model_tokenizer("bert")
    decoder = new_decoder(params, tokenizer.vocabulary_size)
    load_pretrained(decoder, tokenizer)
    return decoder


def test_names_of_early_versions_are_read(tmp_path: Path):
    """Norms once had a gamma and a beta; such files give the same decoder."""

    def rename(name: str, tensor: Tensor) -> tuple[str, Tensor]:
        return name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"), tensor

    decoder = loaded(changed_tensors(tmp_path / "model", rename))
    assert torch.equal(logits_of(decoder), logits_of(pretrained_decoder("bert")))


def test_missing_tensors_are_named(tmp_path: Path):
    """Weights that do not hold what the config says are an error that names the tensor."""
    params = changed_tensors(
        tmp_path / "model", lambda name, tensor: (name.replace("layer.1.output.dense", "lost"), tensor)
    )
    with pytest.raises(PretrainedError, match=r"model\.safetensors does not hold.*layer\.1\.output\.dense"):
        loaded(params)


@torch.inference_mode()
def test_the_new_norm_of_a_post_norm_layer_changes_little(tmp_path: Path):
    """Between parts that are used to large values, what leaves it is nearly what came; a plain norm is far off."""

    def enlarge(name: str, tensor: Tensor) -> tuple[str, Tensor]:
        return name, 3.0 * tensor if "attention.output.LayerNorm" in name else tensor

    decoder = loaded(changed_tensors(tmp_path / "model", enlarge))
    for layer in decoder.layers:
        x = layer.self_norm(torch.randn(200, decoder.params.width, generator=torch.Generator().manual_seed(2)))
        plain = torch.nn.functional.layer_norm(x, x.shape[-1:])
        moved, by_plain = (float((y - x).square().mean() / x.square().mean()) for y in (layer.cross_norm(x), plain))
        assert moved < 0.05 < 0.4 < by_plain
