"""params.yaml is written from presets, with comments, and what changed is told."""

from pathlib import Path

import pytest

from captiongen.cli.presets import PRESETS, write_params
from captiongen.errors import ParamsError
from captiongen.params import load_params


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_without_changes_is_itself(project: Path, tmp_path: Path, preset: str):
    """The file has the preset's bytes, and writing it again changes nothing."""
    path = tmp_path / "params.yaml"
    assert write_params(path, preset, {})
    assert path.read_bytes() == (project / "src" / "captiongen" / "presets" / f"{preset}.yaml").read_bytes()
    assert write_params(path, preset, {}) == []


def test_changes_are_made_and_comments_stay(tmp_path: Path):
    """Changed and new keys are there, the rest is the preset's, comments and blank lines included."""
    path = tmp_path / "params.yaml"
    write_params(path, "flickr8k", {})
    before = path.read_text().splitlines()
    changes = {
        "train.encoder.name": "tf_efficientnet_lite2",
        "train.encoder.weights": "lite2.safetensors",
        "train.encoder.weights_sha256": "ab" * 32,
        "ingest.table": {"caption_columns": ["a", "b"]},
    }
    told = write_params(path, "flickr8k", changes)
    after = path.read_text().splitlines()
    assert [line for line in before if line not in after] == [
        "    name: convnext_nano.in12k_ft_in1k",
        "    weights: hub",
    ]
    assert before.count("") == after.count("")
    params = load_params(path)
    assert params.train.encoder.name == "tf_efficientnet_lite2"
    assert params.train.encoder.weights_sha256 == "ab" * 32
    assert params.ingest.table.caption_columns == ("a", "b")
    assert told == [
        "ingest.table.caption_columns: ('caption',) -> ('a', 'b')",
        "train.encoder.name: convnext_nano.in12k_ft_in1k -> tf_efficientnet_lite2",
        "train.encoder.weights: hub -> lite2.safetensors",
        f"train.encoder.weights_sha256: None -> {'ab' * 32}",
    ]


def test_a_broken_params_file_is_replaced(tmp_path: Path):
    """Whatever stood there before, the preset is written, and every setting counts as new."""
    path = tmp_path / "params.yaml"
    path.write_text("ingest: [")
    assert "ingest.source: (none) -> scenes" in write_params(path, "scenes", {})
    assert load_params(path).ingest.source == "scenes"


def test_changes_that_do_not_fit_leave_the_file(tmp_path: Path):
    """An invalid value is a ParamsError that names the key, and the file stays as it was."""
    path = tmp_path / "params.yaml"
    write_params(path, "scenes", {})
    before = path.read_bytes()
    with pytest.raises(ParamsError, match=r"train\.decoder"):
        write_params(path, "scenes", {"train.decoder.width": -1})
    assert path.read_bytes() == before
