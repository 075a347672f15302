"""The sample's files: the same bytes from the same seed, complete, and read back as written."""

import io
import json
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from captiongen.data.scenes.dataset import (
    IMAGES_ARCHIVE,
    ScenesIndex,
    plan_scenes,
    read_captions,
    read_index,
    read_truth,
    render_scenes,
)
from captiongen.data.scenes.world import HELD_OUT
from captiongen.errors import SourceError, UsageError
from captiongen.files import sha256_of_file

_FILES = ("images.zip", "captions.jsonl", "truth.jsonl", "scenes.json")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty scenes of seed 5."""
    path = tmp_path_factory.mktemp("data") / "scenes"
    render_scenes(path, num_images=40, seed=5)
    return path


def _hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of_file(path) for path in folder.iterdir()}


def test_the_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path):
    """Rendering again gives four files, equal byte for byte; another seed gives other pictures and captions."""
    render_scenes(tmp_path / "again", num_images=40, seed=5)
    assert _hashes(tmp_path / "again") == _hashes(folder)
    assert set(_hashes(folder)) == set(_FILES)
    render_scenes(tmp_path / "other", num_images=40, seed=6)
    other = _hashes(tmp_path / "other")
    assert all(other[name] != digest for name, digest in _hashes(folder).items())


def test_rendering_replaces_what_was_there(tmp_path: Path):
    """A folder of an earlier rendering holds nothing of it afterwards."""
    target = tmp_path / "scenes"
    target.mkdir()
    (target / "stale.txt").write_text("old")
    render_scenes(target, num_images=16)
    assert {path.name for path in target.iterdir()} == set(_FILES)


def test_the_index_says_what_the_files_hold(folder: Path):
    """scenes.json, the plan, the archive, the captions and the truth agree in number, ids and splits."""
    index = read_index(folder)
    assert index == plan_scenes(num_images=40, seed=5)
    rows, truths = read_captions(folder), read_truth(folder)
    assert Counter(row.split for row in rows) == index.split_counts
    with zipfile.ZipFile(folder / IMAGES_ARCHIVE) as archive:
        assert archive.namelist() == [f"{row.image_id}.jpg" for row in rows]
        for name in archive.namelist():
            assert Image.open(io.BytesIO(archive.read(name))).size == (index.image_size_px,) * 2
    assert {row.image_id: row.split for row in rows} == {key: truth.split for key, truth in truths.items()}


def test_held_out_combinations_are_in_the_test_split_alone(folder: Path):
    """The truth records them on test images, two fifths of them, and on no others."""
    truths = read_truth(folder).values()
    novel = [truth for truth in truths if truth.held_out]
    assert {truth.split for truth in novel} == {"test"}
    assert len(novel) == round(0.4 * sum(truth.split == "test" for truth in truths))
    assert all(combination in HELD_OUT for truth in novel for combination in truth.held_out)


def test_the_truth_agrees_with_itself(folder: Path):
    """Counts are those of the objects, and relations point at objects."""
    for truth in read_truth(folder).values():
        assert truth.counts == Counter(thing.kind for thing in truth.objects)
        for relation in truth.relations:
            assert truth.objects[relation.subject] is not truth.objects[relation.other]


def test_full_size_has_1200_150_250():
    """The default plan has the documented split sizes."""
    assert plan_scenes().split_counts == {"train": 1200, "dev": 150, "test": 250}


@pytest.mark.parametrize(("num_images", "seed"), [(15, 0), (0, 0), (40, -1)])
def test_impossible_plans_are_refused(tmp_path: Path, num_images: int, seed: int):
    """Too few images for three splits, or a negative seed, are a UsageError and nothing is written."""
    with pytest.raises(UsageError, match="at least 16 images"):
        render_scenes(tmp_path / "scenes", num_images=num_images, seed=seed)
    assert not (tmp_path / "scenes").exists()


@pytest.mark.parametrize(
    ("name", "read"), [("scenes.json", read_index), ("captions.jsonl", read_captions), ("truth.jsonl", read_truth)]
)
def test_missing_and_damaged_files_are_named(tmp_path: Path, name: str, read):
    """A missing file and a file of another shape are SourceErrors that name it and the remedy."""
    with pytest.raises(SourceError, match=rf"{name} cannot be read.*captiongen fetch scenes"):
        read(tmp_path)
    (tmp_path / name).write_text(json.dumps({"image_id": 3}))
    with pytest.raises(SourceError, match=rf"{name} is damaged.*captiongen fetch scenes"):
        read(tmp_path)


def test_an_index_reads_as_it_was_written(folder: Path):
    """scenes.json holds seed, counts and version as plain JSON."""
    assert ScenesIndex(**json.loads((folder / "scenes.json").read_text())) == read_index(folder)
