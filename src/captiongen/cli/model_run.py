"""The MLflow run of the model in the working tree, and what a run records of its inputs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from captiongen.cli.layout import Layout

if TYPE_CHECKING:
    from captiongen.adapters.mlflow_tracking import MlflowTracker


@contextmanager
def run_of_model(layout: Layout) -> Iterator["MlflowTracker"]:
    """Goes on with the run that made the model; one is restored from disk where this tracking server has none.

    Raises:
        CheckpointError: there is no model.
        ServiceError: the tracking server fails.
    """
    from captiongen.adapters.lineage import read_model_facts
    from captiongen.adapters.mlflow_tracking import continue_run

    def restore(tracker: "MlflowTracker") -> None:
        log_inputs(tracker, layout.root)
        tracker.log_file(layout.training, folder="training")

    with continue_run(layout.root, read_model_facts(layout.model)["weights_sha256"], restore=restore) as tracker:
        yield tracker


def log_inputs(tracker: "MlflowTracker", root: Path) -> None:
    """Records what the training reads, by its DVC hashes."""
    from captiongen.adapters.lineage import read_locked_md5s

    for path, md5 in read_locked_md5s(root, "train").items():
        if path.startswith("data/"):
            tracker.log_dataset(Path(path).name, path=path, md5=md5, context="training")
