"""A training that keeps all that it writes in one folder, and a project that `captiongen train` works in."""

import os
import shutil
import sys
from pathlib import Path

import yaml

from captiongen.params import TrainParams
from captiongen.ports import Tracker
from captiongen.stages.train import TrainResult, train


def train_in(params: TrainParams, data_folder: Path, folder: Path, *, tracker: Tracker | None = None) -> TrainResult:
    """Trains; the captioner goes to `folder`/captioner, reports and state beside it."""
    return train(
        params,
        data_folder=data_folder,
        out_folder=folder / "captioner",
        report_folder=folder / "reports",
        state_folder=folder / "state",
        tracker=tracker,
    )


def write_training_project(folder: Path, params: TrainParams, data_folder: Path) -> Path:
    """A project folder with processed data in place, and nothing trained."""
    shutil.copytree(data_folder, folder / "data" / "processed")
    settings = {
        "ingest": {"source": "scenes", "path": "data/raw/scenes", "name": "tiny"},
        "preprocess": {"image_size_px": 64, "resize": "squash"},
        "train": params.model_dump(mode="json"),
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(settings))
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"train": {"cmd": "captiongen train"}}}))
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {}}))
    return folder


def environment_of_commands(**variables: str) -> dict[str, str]:
    """Variables under which `captiongen` is the one of these tests."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, **variables}
