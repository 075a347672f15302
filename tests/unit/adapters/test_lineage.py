"""The lineage of a model names every byte that decided it."""

import hashlib
import json
from pathlib import Path

import pytest
from repositories import git_repository

from captiongen.adapters.lineage import read_lineage
from captiongen.errors import ServiceError

_WEIGHTS = "data/raw/weights/w.safetensors"
_LOCK = "stages: {train: {cmd: x, outs: [{path: models/captioner, md5: %s}]}}\n" % ("a" * 32)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project whose model began with the encoder weights of a tracked file."""
    encoder = {"weights": _WEIGHTS, "weights_sha256": hashlib.sha256(b"weights").hexdigest()}
    manifest = {"dataset": "d", "data_hash": "0", "split_hashes": {}, "weights_sha256": "1", "encoder": encoder}
    files = {
        "dvc.lock": _LOCK,
        "models/captioner/manifest.json": json.dumps(manifest),
        _WEIGHTS: "weights",
        f"{_WEIGHTS}.dvc": f"outs: [{{md5: {'b' * 32}, path: w.safetensors}}]\n",
    }
    git_repository(tmp_path, files)
    return tmp_path


def test_encoder_weights_are_in_the_lineage(root: Path):
    """The tracked file is named with the md5 under which DVC restores it."""
    assert read_lineage(root, root / "models/captioner").dvc_md5s == {"models/captioner": "a" * 32, _WEIGHTS: "b" * 32}


@pytest.mark.parametrize(("content", "found"), [(b"others", "found others"), (None, "found none")])
def test_other_encoder_weights_break_the_lineage(root: Path, content: bytes | None, found: str):
    """A file that is not the one the model began with is not passed off as it."""
    (root / _WEIGHTS).unlink()
    if content is not None:
        (root / _WEIGHTS).write_bytes(content)
    with pytest.raises(ServiceError, match=found):
        read_lineage(root, root / "models/captioner")
