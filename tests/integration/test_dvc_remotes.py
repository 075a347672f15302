"""Raw data travels to a DVC remote and back: a local folder, and an S3-compatible store."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dvc.cli import main

from captiongen.adapters.dvc_data import DvcData
from captiongen.data.scenes.dataset import render_scenes
from captiongen.files import sha256_of_file

_BUCKET = "captions"
Dvc = Callable[..., int]
_KEY = {"access_key_id": "test", "secret_access_key": "test"}


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def dvc(monkeypatch: pytest.MonkeyPatch) -> Dvc:
    """Runs `dvc` in a folder, in this process (DVC takes seconds to import), and returns its exit code."""

    def run(folder: Path, *arguments: str) -> int:
        monkeypatch.chdir(folder)
        return int(main(["--quiet", *arguments]))

    return run


@pytest.fixture
def workspace(tmp_path: Path, dvc: Dvc) -> Path:
    """A git and DVC project whose scenes are tracked and committed."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    _git(folder, "init", "-q")
    assert dvc(folder, "init") == 0
    render_scenes(folder / "data" / "raw" / "scenes", num_images=16)
    assert DvcData(folder).track(folder / "data" / "raw" / "scenes")
    return folder


@pytest.fixture
def s3_endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3 server on the loopback with an empty bucket."""
    import boto3
    from moto.server import ThreadedMotoServer

    for name in ("AWS_PROFILE", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    client.create_bucket(Bucket=_BUCKET)
    yield endpoint
    server.stop()


def _hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of_file(path) for path in sorted(folder.iterdir())}


def _goes_there_and_back(dvc: Dvc, workspace: Path, tmp_path: Path) -> None:
    """Pushes, clones the repository, pulls in the clone, and compares."""
    assert dvc(workspace, "push") == 0
    _git(workspace, "add", ".")
    _git(workspace, "commit", "-qm", "data and remote")
    clone = tmp_path / "clone"
    _git(tmp_path, "clone", "-q", str(workspace), str(clone))
    shutil.copyfile(workspace / ".dvc" / "config.local", clone / ".dvc" / "config.local")
    assert not (clone / "data" / "raw" / "scenes").exists()
    assert dvc(clone, "pull") == 0
    assert _hashes(clone / "data" / "raw" / "scenes") == _hashes(workspace / "data" / "raw" / "scenes")
    assert DvcData(clone).is_up_to_date(clone / "data" / "raw" / "scenes")
    assert _git(clone, "status", "--porcelain") == ""


def test_data_goes_to_a_folder_and_back(dvc: Dvc, workspace: Path, tmp_path: Path):
    """What was pushed to a folder is pulled into a fresh clone, byte for byte."""
    assert dvc(workspace, "remote", "add", "--default", "store", str(tmp_path / "remote")) == 0
    assert dvc(workspace, "remote", "modify", "--local", "store", "verify", "true") == 0
    _goes_there_and_back(dvc, workspace, tmp_path)


def test_data_goes_to_s3_and_back(dvc: Dvc, workspace: Path, tmp_path: Path, s3_endpoint: str):
    """What was pushed to an S3-compatible store is pulled into a fresh clone; the keys stay out of git."""
    assert dvc(workspace, "remote", "add", "--default", "store", f"s3://{_BUCKET}/captiongen") == 0
    assert dvc(workspace, "remote", "modify", "store", "endpointurl", s3_endpoint) == 0
    for option, value in _KEY.items():
        assert dvc(workspace, "remote", "modify", "--local", "store", option, value) == 0
    _goes_there_and_back(dvc, workspace, tmp_path)
    committed = _git(workspace, "show", "HEAD:.dvc/config")
    assert s3_endpoint in committed
    assert "access_key" not in committed


def test_data_that_nobody_pushed_cannot_be_pulled(dvc: Dvc, workspace: Path, tmp_path: Path):
    """A pull from an empty remote fails, and the data do not count as up to date."""
    assert dvc(workspace, "remote", "add", "--default", "store", str(tmp_path / "remote")) == 0
    shutil.rmtree(workspace / "data" / "raw" / "scenes")
    shutil.rmtree(workspace / ".dvc" / "cache")
    assert dvc(workspace, "pull") != 0
    assert not DvcData(workspace).is_up_to_date(workspace / "data" / "raw" / "scenes")
