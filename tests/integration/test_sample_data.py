"""The sample data set at full size: what the repository promises of it."""

import io
from collections import Counter
from pathlib import Path

import imagehash
import numpy as np
import pytest
import yaml
from dvc.cli import main as dvc
from PIL import Image

from captiongen.adapters.dvc_data import DvcData
from captiongen.data.scenes.dataset import read_truth, render_scenes
from captiongen.data.scenes.world import HELD_OUT
from captiongen.data.sources import Source, open_source
from captiongen.params import load_params
from captiongen.text.normalise import metric_tokens


@pytest.fixture(scope="module")
def source(project: Path, folder: Path) -> Source:
    """The data set as the committed params read it."""
    return open_source(load_params(project / "params.yaml").ingest, folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set as `captiongen fetch` renders it."""
    path = tmp_path_factory.mktemp("sample") / "data" / "raw" / "scenes"
    render_scenes(path)
    return path


def test_rendering_gives_the_bytes_that_the_repository_records(
    project: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """DVC's hash of a fresh rendering is the one in data/raw/scenes.dvc, so a clone has nothing to commit."""
    root = folder.parents[2]
    monkeypatch.chdir(root)
    assert dvc(["init", "--quiet", "--no-scm"]) == 0
    DvcData(root).track(folder)
    assert yaml.safe_load(folder.with_name("scenes.dvc").read_text()) == yaml.safe_load(
        (project / "data" / "raw" / "scenes.dvc").read_text()
    )


def test_no_two_pictures_look_alike(source: Source):
    """No two 64-bit perceptual hashes are nearer than twice what the data contract calls a near-duplicate."""
    hashes = np.stack(
        [imagehash.phash(Image.open(io.BytesIO(source.read(item.path)))).hash.ravel() for item in source.items()]
    ).astype(np.float32)
    # Bits that differ: those set in one alone.
    distances = hashes @ (1 - hashes).T
    distances += distances.T
    np.fill_diagonal(distances, 64)
    assert distances.min() > 4


def test_training_shows_every_word_and_no_held_out_combination(source: Source, folder: Path):
    """Test captions hold no word that training lacks; each held-out combination is on at least five test images."""
    words: dict[str, set[str]] = {"train": set(), "dev": set(), "test": set()}
    for item in source.items():
        assert len(item.captions) == len(set(item.captions)) == 5
        for caption in item.captions:
            tokens = metric_tokens(caption)
            assert len(tokens) >= 4
            words[item.split].update(tokens)
    assert words["dev"] | words["test"] <= words["train"]
    shown = Counter((truth.split, name) for truth in read_truth(folder).values() for name in truth.held_out)
    assert all(split == "test" for split, _ in shown)
    assert all(shown["test", name] >= 5 for name in HELD_OUT)


def test_the_ground_does_not_tell_the_kind(folder: Path):
    """Knowing the ground, a guesser who names the commonest kind is right on fewer than a quarter of the images."""
    truths = read_truth(folder).values()
    kinds = {ground: Counter[str]() for ground in {truth.ground for truth in truths}}
    for truth in truths:
        kinds[truth.ground][truth.objects[0].kind] += 1
    right = sum(counts.most_common(1)[0][1] for counts in kinds.values())
    assert right < len(truths) / 4
