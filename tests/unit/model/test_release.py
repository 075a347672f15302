"""release.json: what it tells of a model, and that it and the model's files belong together."""

from pathlib import Path

import pytest
from tiny import tiny_model_folder

from captiongen.errors import CheckpointError
from captiongen.files import sha256_of_file
from captiongen.model.release import RELEASE_FILE, Release, read_release
from captiongen.types import Lineage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tiny_model_folder(tmp_path / "model")
    lineage = Lineage("tiny", "d", {"test": "t"}, sha256_of_file(folder / "model.safetensors"), dvc_md5s={"data": "m"})
    release = Release(name="captiongen", version="3", lineage=lineage)
    (folder / RELEASE_FILE).write_text(release.model_dump_json())
    return folder


def test_release_is_read_as_it_was_written(folder: Path) -> None:
    """Name, version and the whole lineage survive the file."""
    release = read_release(folder)
    assert (release.name, release.version) == ("captiongen", "3")
    assert release.lineage.split_hashes == {"test": "t"}
    assert release.lineage.dvc_md5s == {"data": "m"}


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "manifest.json", RELEASE_FILE])
def test_missing_file_is_named(folder: Path, name: str) -> None:
    """Each file is needed."""
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        read_release(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_changed_file_is_named(folder: Path, name: str) -> None:
    """Weights or tokenizer that are not the released ones are refused."""
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    with pytest.raises(CheckpointError, match=f"{name} is not what was released as captiongen version 3"):
        read_release(folder)


@pytest.mark.parametrize("name", ["manifest.json", RELEASE_FILE])
def test_unreadable_file_is_named(folder: Path, name: str) -> None:
    """A file that is no JSON is an error of its own."""
    (folder / name).write_text("{")
    with pytest.raises(CheckpointError, match=str(folder)):
        read_release(folder)


def test_manifest_of_another_kind_is_named(folder: Path) -> None:
    """JSON that is no object is refused in words."""
    (folder / "manifest.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"Expected a JSON object in .*manifest\.json, found a list"):
        read_release(folder)
