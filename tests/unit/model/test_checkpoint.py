"""Captioner folders: what is saved is what is loaded, and damage is named."""

import json

import pytest
import torch

from captiongen.errors import CheckpointError
from captiongen.model.checkpoint import load_captioner, read_manifest
from tests.tiny import tiny_model_folder


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
