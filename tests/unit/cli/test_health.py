"""What `captiongen doctor` looks at."""

import hashlib
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from captiongen.cli import health
from captiongen.cli.layout import Layout


@pytest.fixture
def layout(tmp_path: Path, project: Path) -> Layout:
    """A fresh project folder: params.yaml and .dvc in a git repository with one commit."""
    shutil.copy(project / "params.yaml", tmp_path)
    (tmp_path / ".dvc").mkdir()
    shutil.copy(project / ".dvc" / "config", tmp_path / ".dvc")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return Layout(tmp_path)


def _states(layout: Layout) -> dict[str, health.Check]:
    return {check.name: check for check in health.examine(layout)}


def test_a_fresh_project_misses_nothing(layout: Layout):
    """In a fresh project all that is needed is there; data and model are optional, with the command that makes them."""
    checks = _states(layout)
    assert [name for name, check in checks.items() if check.state == "missing"] == []
    assert "captiongen fetch scenes" in checks["data"].remedy
    assert checks["model"].state == "optional"


def test_whatever_is_not_ok_comes_with_a_remedy(tmp_path: Path):
    """In an empty folder each check that is not ok says what to do, and git, DVC and params.yaml are missing."""
    checks = _states(Layout(tmp_path))
    assert all(check.remedy for check in checks.values() if check.state != "ok")
    assert {name for name, check in checks.items() if check.state == "missing"} == {"git", "DVC", "params.yaml"}


def test_absent_encoder_weights_are_missing(layout: Layout):
    """A safetensors file that params.yaml names and that is not there is missing."""
    params = layout.params.read_text()
    named = "weights: weights/encoder.safetensors\n    weights_sha256: " + "f" * 64
    layout.params.write_text(params.replace("weights: none", named))
    check = _states(layout)["encoder weights"]
    assert check.state == "missing"
    assert "weights/encoder.safetensors" in check.found


def test_weights_that_the_hub_has_to_give_are_not_called_ok(layout: Layout):
    """What the first training will fetch is told so, with the command that checks and the way around."""
    layout.params.write_text(layout.params.read_text().replace("weights: none", "weights: hub"))
    check = _states(layout)["encoder weights"]
    assert check.state == "optional"
    assert "first training" in check.found
    assert "--online" in check.remedy


def test_encoder_weights_of_another_hash_are_missing(layout: Layout):
    """A file whose sha256 differs from `weights_sha256` is named with the hash it has; the right file is ok."""
    (layout.root / "encoder.safetensors").write_bytes(b"weights")
    params = layout.params.read_text()
    named = "weights: encoder.safetensors\n    weights_sha256: " + "f" * 64
    layout.params.write_text(params.replace("weights: none", named))
    check = _states(layout)["encoder weights"]
    assert check.state == "missing"
    right = hashlib.sha256(b"weights").hexdigest()
    assert right in check.found
    layout.params.write_text(params.replace("weights: none", named.replace("f" * 64, right)))
    assert _states(layout)["encoder weights"].state == "ok"


def test_packages_that_do_not_fit_are_named(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    """A package that is too old and one that is not installed are missing, each by its name."""
    monkeypatch.setattr(
        health.importlib.metadata, "requires", lambda _: ["numpy>=999", "no-such-package", "boto3; extra == 'dev'"]
    )
    check = _states(layout)["packages"]
    assert check.state == "missing"
    assert "without no-such-package" in check.found
    assert "needs >=999" in check.found
    assert "boto3" not in check.found


def test_data_that_dvc_does_not_track_are_optional(layout: Layout):
    """A raw data folder without a .dvc pointer beside it comes with the `dvc add` to run, with one it is ok."""
    folder = layout.root / "data" / "raw" / "scenes"
    folder.mkdir(parents=True)
    (folder / "images.zip").touch()
    assert "dvc add data/raw/scenes" in _states(layout)["data"].remedy
    folder.with_name("scenes.dvc").touch()
    assert _states(layout)["data"].state == "ok"


def test_a_broken_params_file_is_named(layout: Layout):
    """A key out of range is found, and named, without stopping the other checks."""
    layout.params.write_text(layout.params.read_text().replace("num_epochs: ", "num_epochs: -"))
    checks = _states(layout)
    assert "train.phases.0.finetuned.num_epochs" in checks["params.yaml"].found
    assert "git" in checks


def test_a_taken_port_is_seen(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    """A port on which something listens is taken, another is free."""
    with socket.socket() as listener, socket.socket() as other:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        other.bind(("127.0.0.1", 0))  # bound, but nobody listens
        ports = {"one": listener.getsockname()[1], "two": other.getsockname()[1]}
        monkeypatch.setattr(health, "PORTS", ports)
        checks = _states(layout)
    assert checks[f"port {ports['one']}"].state == "optional"
    assert checks[f"port {ports['two']}"].state == "ok"


def test_looking_changes_nothing(layout: Layout):
    """Afterwards the folder holds what it held before."""
    before = sorted(layout.root.rglob("*"))
    _states(layout)
    assert sorted(layout.root.rglob("*")) == before
