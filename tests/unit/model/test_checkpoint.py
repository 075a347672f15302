"""Captioner folders: what is saved is what is loaded, and damage is named."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from captiongen.errors import CheckpointError
from captiongen.files import sha256_of_file
from captiongen.model.checkpoint import load_captioner, read_manifest, write_captioner
from tests.tiny import tiny_model_folder, tiny_reranker


@pytest.fixture
def folder(tmp_path):
    return tiny_model_folder(tmp_path / "captioner")


def test_the_same_weights_give_the_same_files(tmp_path):
    """Saving is deterministic, byte for byte."""
    one, two = (tiny_model_folder(tmp_path / name, seed=4) for name in ("one", "two"))
    assert {path.name: path.read_bytes() for path in one.iterdir()} == {
        path.name: path.read_bytes() for path in two.iterdir()
    }


def test_a_loaded_captioner_is_ready_to_caption(folder):
    """Loading gives evaluation mode, the manifest's sizes, and no half-initialised tensor."""
    loaded = load_captioner(folder)
    assert not loaded.captioner.training
    assert loaded.manifest.vocabulary_size == loaded.tokenizer.vocabulary_size
    assert all(torch.isfinite(tensor).all() for tensor in loaded.captioner.state_dict().values())


def test_nothing_in_the_folder_is_a_pickle(folder):
    """The folder holds exactly safetensors, tokenizer and manifest."""
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "model.safetensors", "tokenizer.json"]


@pytest.mark.parametrize("storage", ["float32", "small"])
def test_a_reranker_travels_with_its_captioner(tmp_path, storage):
    """In the same file, under the same hash: what was remembered comes back word for word."""
    saved = tiny_reranker(load_captioner(tiny_model_folder(tmp_path / "none")).captioner.encoder.measure(64)[0], seed=3)
    folder = tiny_model_folder(tmp_path / "captioner", seed=3, has_reranker=True, storage=storage)
    found = load_captioner(folder).captioner.reranker
    assert found.params == saved.params
    assert found.captions() == saved.captions()
    torch.testing.assert_close(found.pictures, saved.pictures, atol=0.01, rtol=0)
    assert not found.training


def test_a_small_captioner_is_a_quarter_to_a_half_as_large(tmp_path):
    """And what is loaded of it is near what was saved: a hundredth of the largest weight of each row."""
    large, small = (
        tiny_model_folder(tmp_path / storage, seed=2, has_reranker=True, storage=storage)
        for storage in ("float32", "small")
    )
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (small, large)]
    assert 0.25 < sizes[0] / sizes[1] < 0.5
    stored = load_file(small / "model.safetensors")
    for name, tensor in stored.items():
        if name.startswith("encoder."):
            assert tensor.dtype in (torch.float16, torch.int64), name
        elif tensor.ndim == 2:
            assert tensor.dtype == torch.int8, name
    expected = load_captioner(large).captioner.state_dict()
    for name, tensor in load_captioner(small).captioner.state_dict().items():
        assert tensor.dtype == expected[name].dtype
        if tensor.is_floating_point():
            tolerance = 0.01 * float(expected[name].abs().max()) + 1e-7
            torch.testing.assert_close(tensor, expected[name], atol=tolerance, rtol=0, msg=name)
        else:
            assert torch.equal(tensor, expected[name])


def test_a_row_of_zeros_stays_one(tmp_path):
    """A scale of nothing makes no weight that is no number."""
    loaded = load_captioner(tiny_model_folder(tmp_path / "captioner"))
    with torch.no_grad():
        loaded.captioner.decoder.bridge[1].weight.zero_()
    (tmp_path / "small").mkdir()
    write_captioner(
        tmp_path / "small", loaded.captioner, loaded.tokenizer, loaded.manifest.model_dump(), storage="small"
    )
    assert not load_captioner(tmp_path / "small").captioner.decoder.bridge[1].weight.any()


def test_a_weight_too_large_for_half_precision_is_refused(tmp_path):
    """Rather than stored as infinity."""
    loaded = load_captioner(tiny_model_folder(tmp_path / "captioner"))
    with torch.no_grad():
        loaded.captioner.decoder.bridge[1].bias[0] = 1e6
    with pytest.raises(CheckpointError, match=r"more than float16 can store"):
        write_captioner(tmp_path, loaded.captioner, loaded.tokenizer, loaded.manifest.model_dump(), storage="small")


def test_a_manifest_that_promises_a_reranker_needs_one(folder):
    """A folder whose weights are those of another is refused."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"reranker": {}}))
    with pytest.raises(CheckpointError, match="does not fit the model its manifest names"):
        load_captioner(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_flipped_bit_is_detected(folder, name):
    """A damaged file is refused with both hashes before it is used."""
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 4
    (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged or was replaced: expected sha256"):
        load_captioner(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "manifest.json"])
def test_a_missing_file_is_named(folder, name):
    """Each of the three files is asked for by name."""
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        load_captioner(folder)


def test_a_manifest_of_another_version_is_refused(folder):
    """A manifest with an unknown key or version says which."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format_version": 99}))
    with pytest.raises(CheckpointError, match="format_version"):
        read_manifest(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("decoder.embedding.weight.row_scale"),
        lambda state: state.update({"decoder.embedding.weight.row_scale": torch.ones(1)}),
        lambda state: state.update({"junk.row_scale": torch.ones(3)}),
        lambda state: state["reranker.pictures.row_scale"].fill_(torch.nan),
        lambda state: state["decoder.embedding.weight.row_scale"].fill_(torch.inf),
        lambda state: state.update({"reranker.owners": torch.tensor(0)}),
        lambda state: state.update({"reranker.owners": state["reranker.owners"] * 0}),
        lambda state: state.update({"reranker.owners": state["reranker.owners"].float()}),
        lambda state: state["reranker.weights"].neg_(),
        lambda state: state.update({"reranker.matcher.projection.weight": torch.zeros(3, dtype=torch.float32)}),
    ],
)
def test_weights_that_make_no_sense_are_refused(tmp_path, change):
    """Though their hash is right: whoever made the file is told, and nobody gets a caption of it."""
    folder = tiny_model_folder(tmp_path / "captioner", has_reranker=True, storage="small")
    state = load_file(folder / "model.safetensors")
    change(state)
    _forge(folder, state)
    with pytest.raises(CheckpointError, match="does not fit the model its manifest names"):
        load_captioner(folder)


@pytest.mark.parametrize(
    "wrong",
    [
        {"vocabulary_size": -1},
        {"max_tokens": -3},
        {"image_size_px": 0},
        {"dev_cider": float("nan")},
        {"calibration": {"word": {"slope": float("inf"), "intercept": 0.0}}},
    ],
)
def test_numbers_that_make_no_sense_are_refused(tmp_path, wrong):
    """A manifest that names a model that cannot be, or a figure that is none."""
    folder = tiny_model_folder(tmp_path / "captioner")
    _forge(folder, load_file(folder / "model.safetensors"), **wrong)
    with pytest.raises(CheckpointError, match="is no manifest of format version 1"):
        load_captioner(folder)


@pytest.mark.parametrize(
    ("section", "key", "wrong"),
    [("encoder", "name", "hf-hub:evil/x"), ("encoder", "name", "local-dir:/x"), ("decoder", "num_layers", 1_000_000)],
)
def test_a_manifest_reaches_for_nothing(tmp_path, section, key, wrong):
    """Names that timm would fetch from elsewhere, and a decoder that would take hours to build, are refused unread."""
    folder = tiny_model_folder(tmp_path / "captioner")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest[section][key] = wrong
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=rf"{section}\.{key}"):
        load_captioner(folder)


def test_weights_beyond_all_measure_are_refused(tmp_path):
    """Weights that are numbers but make none are refused like those that are none."""
    folder = tiny_model_folder(tmp_path / "captioner")
    state = load_file(folder / "model.safetensors")
    state["decoder.embedding.weight"][0, 0] = 1e36
    _forge(folder, state)
    with pytest.raises(CheckpointError, match="expected weights that are numbers below"):
        load_captioner(folder)


def _forge(folder, state, **changes) -> None:
    save_file(state, folder / "model.safetensors")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"weights_sha256": sha256_of_file(folder / "model.safetensors"), **changes}
    (folder / "manifest.json").write_text(json.dumps(manifest))
