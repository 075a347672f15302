"""params.yaml is checked where it is read: what cannot be reproduced is refused, with what to do."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from captiongen.errors import ParamsError
from captiongen.params import Params, TrainParams, load_params, parse_params


def _parsed(project: Path, **encoder: str) -> Params:
    raw = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    raw["train"]["encoder"] |= encoder
    return parse_params(raw, origin="params.yaml")


def test_a_file_of_weights_needs_its_hash(project: Path):
    """A path alone would leave a model current after the file changed; the error names the command that tells both."""
    with pytest.raises(ParamsError, match=r"train\.encoder.*captiongen fetch weights w\.safetensors"):
        _parsed(project, weights="w.safetensors")
    encoder = _parsed(project, weights="w.safetensors", weights_sha256="f" * 64).train.encoder
    assert (encoder.weights, encoder.weights_sha256) == ("w.safetensors", "f" * 64)


@pytest.mark.parametrize("weights", ["none", "hub"])
def test_a_hash_that_nobody_would_check_is_refused(project: Path, weights: str):
    """Random weights and the hub's have no file, so a hash beside them would promise what is not kept."""
    with pytest.raises(ParamsError, match=rf"train\.encoder.*weights is `{weights}`; remove weights_sha256"):
        _parsed(project, weights=weights, weights_sha256="f" * 64)


def _with_language_model(project: Path, *, decoder: dict[str, str], tokenizer: dict[str, str]) -> Params:
    raw = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    raw["train"]["decoder"] |= decoder
    raw["preprocess"]["tokenizer"] |= tokenizer
    return parse_params(raw, origin="params.yaml")


def test_a_pretrained_decoder_wants_the_same_model_s_tokenizer(project: Path):
    """Captions cut into other pieces than the model knows are refused with the lines to write."""
    decoder = {"architecture": "bert", "weights": "lm", "weights_sha256": "f" * 64}
    tokenizer = {"kind": "pretrained", "source": "lm", "sha256": "f" * 64}
    assert _with_language_model(project, decoder=decoder, tokenizer=tokenizer).train.decoder.weights == "lm"
    for other in ({}, {**tokenizer, "source": "gpt2"}, {**tokenizer, "sha256": "0" * 64}):
        with pytest.raises(ParamsError, match=f"kind: pretrained, source: lm, sha256: {'f' * 64}"):
            _with_language_model(project, decoder=decoder, tokenizer=other)


@pytest.mark.parametrize("tokenizer", [{"kind": "pretrained"}, {"source": "gpt2"}])
def test_a_pretrained_tokenizer_has_a_source(project: Path, tokenizer: dict[str, str]):
    """Neither a pretrained tokenizer of no model nor a source that nobody would read passes."""
    with pytest.raises(ParamsError, match=r"preprocess\.tokenizer.*source go together"):
        _with_language_model(project, decoder={}, tokenizer=tokenizer)


def test_pretrained_weights_want_their_architecture(project: Path):
    """The weights of a language model cannot be those of our own layers."""
    with pytest.raises(ParamsError, match=r"train\.decoder.*gpt2, bert or roberta"):
        _with_language_model(project, decoder={"weights": "gpt2"}, tokenizer={"kind": "pretrained", "source": "gpt2"})


@pytest.mark.parametrize("text", ["train: 2026-99-99", "[" * 5000, "\x00", "a: b: c"])
def test_a_file_that_is_no_yaml_is_named(tmp_path, text):
    """Whatever the parser stumbles over, the error names the file."""
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=r"params\.yaml is no readable YAML"):
        load_params(path)


def test_a_folder_in_place_of_the_file_is_named(tmp_path):
    """A folder called params.yaml is an error that names it."""
    with pytest.raises(ParamsError, match="is no readable YAML"):
        load_params(tmp_path)


def test_a_choice_by_a_reranker_wants_one():
    """The message says how to have it made."""
    train = {"encoder": {"name": "x", "weights": "none"}, "phases": [{"kind": "finetuned", "num_epochs": 1}]}
    with pytest.raises(ValidationError, match=r"there is no reranker: set `reranker: \{\}`"):
        TrainParams.model_validate({**train, "decode": {"choice": "reranked"}})
    assert TrainParams.model_validate({**train, "decode": {"choice": "reranked"}, "reranker": {}}).reranker is not None


def test_weights_are_averaged_in_one_way(project: Path):
    """A running average and a mean over epochs in one phase is refused, with what to do."""
    raw = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    raw["train"]["phases"][0] |= {"ema_decay": 0.9, "averages_epochs": True}
    with pytest.raises(ParamsError, match=r"train\.phases.*two ways to average.*choose one"):
        parse_params(raw, origin="params.yaml")


@pytest.mark.parametrize("decode", [{"method": "greedy"}, {"method": "sample"}, {"num_beams": 1}])
def test_a_reranker_that_has_nothing_to_choose_from_is_refused(project: Path, decode: dict[str, object]):
    """Searches that find one caption never ask it, so the captioner would carry the training captions for nothing."""
    raw = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    raw["train"] |= {"reranker": {}, "decode": {"choice": "reranked", "num_beams": 8, **decode}}
    with pytest.raises(ParamsError, match=r"train.*finds one caption: set method: beam"):
        parse_params(raw, origin="params.yaml")


def test_a_scale_that_trained_weights_would_overwrite_is_refused(project: Path):
    """`layer_scale` is of random weights: beside a file of weights, or a captioner to start from, it means nothing."""
    with pytest.raises(ParamsError, match=r"train\.encoder.*remove layer_scale"):
        _parsed(project, weights="w.safetensors", weights_sha256="f" * 64, layer_scale="0.5")
    raw = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    raw["train"] |= {"start_from": {"path": "models/captioner", "weights_sha256": "f" * 64}}
    raw["train"]["encoder"]["layer_scale"] = 0.5
    with pytest.raises(ParamsError, match=r"start_from brings its own; remove layer_scale"):
        parse_params(raw, origin="params.yaml")
