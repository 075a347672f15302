"""A training that keeps all that it writes in one folder."""

from pathlib import Path

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
