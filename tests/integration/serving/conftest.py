"""One tiny released model, packaged once, and one server of its Bento for all tests of the service."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from served import ServedProcess
from tiny import tiny_model_folder

from captiongen.adapters.bento_packaging import package
from captiongen.data.feedback import FeedbackFolder
from captiongen.files import sha256_of_file
from captiongen.types import Lineage


@pytest.fixture(scope="session")
def project(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working copy that has released before: its stores hold files that are named as the project's own."""
    copy = tmp_path_factory.mktemp("project")
    shutil.copytree(project / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("bentofile.yaml", "pyproject.toml", "requirements.txt"):
        shutil.copyfile(project / name, copy / name)
    shutil.copytree(copy / "src", copy / ".bentoml" / "bentos" / "captiongen" / "1" / "src")
    shutil.copyfile(project / "pyproject.toml", copy / ".bentoml" / "bentos" / "captiongen" / "1" / "pyproject.toml")
    shutil.copytree(copy / "src", copy / ".captiongen" / "mlartifacts" / "1" / "code" / "src")
    return copy


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("model") / "captioner")


@pytest.fixture(scope="session")
def lineage(model_folder: Path) -> Lineage:
    return Lineage(
        dataset="tiny",
        data_hash="d" * 64,
        split_hashes={"train": "a" * 64},
        model_sha256=sha256_of_file(model_folder / "model.safetensors"),
        git_sha="c0ffee",
        dvc_md5s={"data/raw/tiny": "0" * 32},
        run_id="run-of-the-test",
    )


@pytest.fixture(scope="session")
def bentoml_home() -> Path:
    """BentoML reads BENTOML_HOME once per process, so that all tests share the one that tests/conftest.py set."""
    return Path(os.environ["BENTOML_HOME"])


@pytest.fixture(scope="session")
def bento_tag(
    model_folder: Path, lineage: Lineage, bentoml_home: Path, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """Version 7, beside a newer version 8 of other weights, which is `latest`."""
    tag = package(model_folder, lineage, model_name="captiongen", version="7", project=project)
    newer = tiny_model_folder(tmp_path_factory.mktemp("newer") / "captioner", seed=1)
    newer_lineage = replace(lineage, model_sha256=sha256_of_file(newer / "model.safetensors"))
    package(newer, newer_lineage, model_name="captiongen", version="8", project=project)
    return tag


@pytest.fixture(scope="session")
def feedback(tmp_path_factory: pytest.TempPathFactory) -> FeedbackFolder:
    """What the server of all tests keeps of reports."""
    return FeedbackFolder(tmp_path_factory.mktemp("kept") / "feedback")


@pytest.fixture(scope="session")
def served(
    bento_tag: str, bentoml_home: Path, feedback: FeedbackFolder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedProcess]:
    folder = tmp_path_factory.mktemp("served")
    server = ServedProcess(
        bento_tag,
        cwd=folder,
        bentoml_home=bentoml_home,
        log=folder / "log",
        environment={"CAPTIONGEN_FEEDBACK": str(feedback.root)},
    )
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.kill()
