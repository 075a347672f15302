"""A pretrained language model as the caption decoder's first weights.

GPT-2 and the BERT family are read from config.json, tokenizer.json and model.safetensors. The decoder's layers are made
as the model's own, with attention to the image between theirs, so everything that trains, decodes and serves a
captioner works on them as it does on ours, and no library of the model's is needed. An encoder such as BERT becomes a
decoder by looking back only (Rothe et al. 2020, arXiv 1907.12461).

The words are embedded and compared by one matrix, of the tokenizer's pieces only. A masked language model's output
layer is not kept: it was made to see both sides of a word.

Shapes: W width, V vocabulary.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from captiongen.errors import PretrainedError
from captiongen.model.decoder import CaptionDecoder, DecoderLayer
from captiongen.params import DecoderParams
from captiongen.text.pretrained import open_tokenizer, pretrained_files, pretrained_ids
from captiongen.text.tokenizer import CaptionTokenizer

#: In front of the tensors of a model that was saved with an output layer.
_PREFIXES = ("transformer.", "bert.", "roberta.")


@dataclass(frozen=True, slots=True)
class _Family:
    """How the models of one `model_type` say what they are.

    Attributes:
        sizes: what their config calls the width, the number of layers and of heads, and the inner width.
        fixed: what it must say, where it says it, for layers to be computed as ours are.
        num_unused_positions: before the position of the first token.
    """

    sizes: tuple[str, str, str, str]
    fixed: Mapping[str, object]
    num_unused_positions: int = 0


_BERT_SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
_FAMILIES = {
    "gpt2": _Family(
        ("n_embd", "n_layer", "n_head", "n_inner"),
        {"activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "scale_attn_by_inverse_layer_idx": False},
    ),
    "bert": _Family(
        _BERT_SIZES, {"hidden_act": "gelu", "layer_norm_eps": 1e-12, "position_embedding_type": "absolute"}
    ),
    "roberta": _Family(
        _BERT_SIZES,
        {"hidden_act": "gelu", "layer_norm_eps": 1e-5, "position_embedding_type": "absolute"},
        num_unused_positions=2,
    ),
}


def pretrained_decoder_params(config_file: Path) -> dict[str, object]:
    """Returns what `train.decoder` must say of a pretrained model, from its config.json.

    Raises:
        PretrainedError: it is of no family that is known, or its layers are not made as the family's are.
    """
    try:
        config: dict[str, Any] = json.loads(config_file.read_text(encoding="utf-8"))
        architecture = str(config["model_type"])
    except (ValueError, KeyError, TypeError) as error:
        raise PretrainedError(f"{config_file} is no config of a model of transformers: {error!r}.") from error
    family = _FAMILIES.get(architecture)
    if family is None:
        raise PretrainedError(
            f"Expected a model that can become a caption decoder ({', '.join(_FAMILIES)}), found model_type "
            f"{architecture!r} in {config_file}. Choose a model of these families."
        )
    if others := {name: config[name] for name, value in family.fixed.items() if config.get(name, value) != value}:
        raise PretrainedError(
            f"{config_file}: expected {dict(family.fixed)} of a model that can become a decoder, found {others}."
        )
    try:
        width, num_layers, num_heads = (int(config[name]) for name in family.sizes[:3])
    except (KeyError, TypeError, ValueError) as error:
        raise PretrainedError(f"{config_file}: expected the sizes {family.sizes[:3]}, found {error!r}.") from error
    hidden = config.get(family.sizes[3]) or 4 * width  # GPT-2 may leave it out
    return {
        "architecture": architecture,
        "width": width,
        "num_layers": num_layers,
        "num_heads": num_heads,
        "feedforward_factor": hidden // width,
    }


@torch.no_grad()
def load_pretrained(decoder: CaptionDecoder, tokenizer: CaptionTokenizer) -> None:
    """Gives a decoder the weights that its params name; only what looks at the image stays new, and says nothing yet.

    Args:
        decoder: changed in place.
        tokenizer: cut from the model's own.

    Raises:
        PretrainedError: the model cannot be had, is of another make than the params say, or has another tokenizer.
    """
    params = decoder.params
    files = pretrained_files(params.weights, params.weights_sha256, key="train.decoder")
    _require_fit(params, pretrained_decoder_params(files["config.json"]))
    try:
        state = _named_alike(load_file(files["model.safetensors"]))
        ids = torch.tensor(pretrained_ids(tokenizer, open_tokenizer(files["tokenizer.json"])))
        read = _read_gpt2 if params.architecture == "gpt2" else _read_bert
        read(decoder, state, ids)
    except (SafetensorError, KeyError, IndexError, RuntimeError) as error:
        raise PretrainedError(
            f"{files['model.safetensors']} does not hold what its config.json says: {error}. Restore the model's files."
        ) from error
    for layer in decoder.layers:
        _say_nothing_of_the_image(cast(DecoderLayer, layer))


def _require_fit(params: DecoderParams, found: Mapping[str, Any]) -> None:
    asked = {name: getattr(params, name) for name in found}
    if {**asked, "num_layers": None} == {**found, "num_layers": None} and asked["num_layers"] <= found["num_layers"]:
        return
    lines = ", ".join(f"{name}: {value}" for name, value in found.items())
    raise PretrainedError(
        f"train.decoder does not describe {params.weights}. Set {lines} (num_layers may be less: the first ones are "
        "taken), or run `captiongen use DATA --decoder MODEL`, which writes these keys."
    )


def _named_alike(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by the names that transformers gives them today, without the prefix of the model around them."""
    named = {}
    for name, tensor in state.items():
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
        named[name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")] = tensor
    return named


def _read_gpt2(decoder: CaptionDecoder, state: Mapping[str, Tensor], ids: Tensor) -> None:
    decoder.embedding.weight.copy_(state["wte.weight"][ids])
    decoder.token_positions.copy_(state["wpe.weight"][: len(decoder.token_positions)])
    _fill(decoder.final_norm, state, "ln_f")
    for number, layer in enumerate(decoder.layers):
        layer, name = cast(DecoderLayer, layer), f"h.{number}"
        _fill(layer.self_norm, state, f"{name}.ln_1")
        _fill(layer.self_attention.query_key_value, state, f"{name}.attn.c_attn", is_transposed=True)
        _fill(layer.self_attention.output, state, f"{name}.attn.c_proj", is_transposed=True)
        _fill(layer.think_norm, state, f"{name}.ln_2")
        _fill(layer.think[0], state, f"{name}.mlp.c_fc", is_transposed=True)
        _fill(layer.think[2], state, f"{name}.mlp.c_proj", is_transposed=True)


def _read_bert(decoder: CaptionDecoder, state: Mapping[str, Tensor], ids: Tensor) -> None:
    num_unused = _FAMILIES[decoder.params.architecture].num_unused_positions
    positions = state["embeddings.position_embeddings.weight"][num_unused:][: len(decoder.token_positions)]
    decoder.embedding.weight.copy_(state["embeddings.word_embeddings.weight"][ids])
    # Every token is of the first of two texts.
    decoder.token_positions.copy_(positions + state["embeddings.token_type_embeddings.weight"][0])
    _fill(decoder.first_norm, state, "embeddings.LayerNorm")
    for number, layer in enumerate(decoder.layers):
        layer, name = cast(DecoderLayer, layer), f"encoder.layer.{number}"
        attention = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
        _fill(layer.self_attention.query_key_value, state, *attention)
        _fill(layer.self_attention.output, state, f"{name}.attention.output.dense")
        _fill(layer.self_norm, state, f"{name}.attention.output.LayerNorm")
        _fill(layer.think[0], state, f"{name}.intermediate.dense")
        _fill(layer.think[2], state, f"{name}.output.dense")
        _fill(layer.think_norm, state, f"{name}.output.LayerNorm")


def _fill(module: nn.Module, state: Mapping[str, Tensor], *names: str, is_transposed: bool = False) -> None:
    """Fills a linear layer or norm with those of these names, one below the other; GPT-2's lie transposed."""
    weight = torch.cat([state[f"{name}.weight"] for name in names])
    cast(nn.Linear, module).weight.copy_(weight.T if is_transposed else weight)
    cast(nn.Linear, module).bias.copy_(torch.cat([state[f"{name}.bias"] for name in names]))


def _say_nothing_of_the_image(layer: DecoderLayer) -> None:
    """Lets the layer begin as the pretrained one: what is new adds nothing, and leaves the rest as it was."""
    layer.cross_attention.output.weight.zero_()
    if layer.is_pre_norm:
        return
    # The norm after it stands between two pretrained parts: on average it undoes what it does.
    before, new = layer.self_norm, layer.cross_norm
    new.weight.fill_(float((before.weight.square().mean() + before.bias.var(correction=0)).sqrt()))
    new.bias.fill_(float(before.bias.mean()))
