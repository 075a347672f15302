"""Encoder weights come in as they are, once, and only if they are weights."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from captiongen.data.encoder_weights import import_weights
from captiongen.errors import EncoderError, UsageError
from captiongen.files import sha256_of_file


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A safetensors file with one tensor."""
    save_file({"stem.weight": np.ones((2, 3), np.float32)}, tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def test_weights_are_copied_with_their_hash(weights: Path, tmp_path: Path):
    """The copy has the bytes of the file, its hash is returned, and a second import leaves it alone."""
    path, sha256 = import_weights(weights, tmp_path / "raw", name="lite2")
    assert path == tmp_path / "raw" / "lite2.safetensors"
    assert path.read_bytes() == weights.read_bytes()
    assert sha256 == sha256_of_file(weights)
    written = path.stat().st_mtime_ns
    assert import_weights(weights, tmp_path / "raw", name="lite2") == (path, sha256)
    assert path.stat().st_mtime_ns == written


def test_other_weights_of_the_same_name_replace_them(weights: Path, tmp_path: Path):
    """New bytes under an old name take its place."""
    import_weights(weights, tmp_path / "raw", name="lite2")
    save_file({"stem.weight": np.zeros((2, 3), np.float32)}, weights)
    path, sha256 = import_weights(weights, tmp_path / "raw", name="lite2")
    assert sha256_of_file(path) == sha256 == sha256_of_file(weights)


@pytest.mark.parametrize("content", [None, b"", b"\x80\x04pickle", "empty"])
def test_what_is_no_weights_is_refused(tmp_path: Path, content: bytes | str | None):
    """A missing file, a pickle and a file without tensors are EncoderErrors, and nothing is copied."""
    file = tmp_path / "bad.safetensors"
    if content == "empty":
        save_file({}, file)
    elif isinstance(content, bytes):
        file.write_bytes(content)
    with pytest.raises(EncoderError, match=r"bad\.safetensors"):
        import_weights(file, tmp_path / "raw", name="bad")
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b"])
def test_names_stay_in_the_folder(weights: Path, tmp_path: Path, name: str):
    """A name that is no plain file name is a UsageError."""
    with pytest.raises(UsageError, match="letters, digits"):
        import_weights(weights, tmp_path / "raw", name=name)
