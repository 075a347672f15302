"""The DVC stages as commands: `dvc.yaml` calls exactly these, in this order."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from captiongen.cli.layout import Layout
from captiongen.params import load_params

if TYPE_CHECKING:
    from captiongen.adapters.mlflow_tracking import MlflowTracker

app = typer.Typer(rich_markup_mode="markdown")
_PANEL = "Stages (dvc.yaml)"


@app.command(rich_help_panel=_PANEL)
def ingest() -> None:
    """Lists every image and caption of the data set in one manifest.

    Example: `captiongen ingest`, or through DVC, which keeps the result: `dvc repro ingest`.
    """
    from captiongen.stages.ingest import ingest as run

    layout = Layout()
    params = load_params(layout.params)
    with _measured("ingest"):
        result = run(params.ingest, source_folder=layout.root / params.ingest.path, out_folder=layout.interim)
    _say(str(result))


@app.command(rich_help_panel=_PANEL)
def preprocess() -> None:
    """Resizes images into shards, trains the tokenizer, draws the data card (reports/data_card/index.html).

    Example: `captiongen preprocess`, or through DVC, which keeps the result: `dvc repro preprocess`.
    """
    from captiongen.stages.preprocess import preprocess as run

    layout = Layout()
    params = load_params(layout.params)
    with _measured("preprocess"):
        result = run(
            params.preprocess,
            ingest=params.ingest,
            manifest=layout.interim / "manifest.parquet",
            validation_report=layout.validation / "validation.json",
            source_folder=layout.root / params.ingest.path,
            out_folder=layout.processed,
            card_folder=layout.data_card,
        )
    _say(", ".join(f"{split} {count:,} images" for split, count in sorted(result.counts.items())))


@app.command(rich_help_panel=_PANEL)
def train() -> None:
    """Trains the captioner; a killed run goes on from the last finished epoch.

    Example: `captiongen train`, or through DVC, which keeps the result: `dvc repro train`.
    """
    from captiongen.adapters.mlflow_tracking import open_run
    from captiongen.stages.train import train as run

    layout = Layout()
    params = load_params(layout.params)
    with _measured("train"), open_run(layout.root, name=f"train {params.ingest.name}") as tracker:
        _log_inputs(tracker, layout.root)
        result = run(
            params.train,
            data_folder=layout.processed,
            out_folder=layout.model,
            report_folder=layout.training,
            state_folder=layout.state,
            tracker=tracker,
        )
        history = result.fitted.progress.history
        tracker.log_curves(
            {
                "train loss": [(row.epoch, row.train_loss) for row in history],
                "dev CIDEr": [(row.epoch, row.dev_cider) for row in history if row.dev_cider is not None],
            },
            name="curves",
            x_label="epoch",
        )
    progress = result.fitted.progress
    _say(f"best epoch {progress.best_epoch} of {progress.num_epochs_done}: dev CIDEr {progress.best_cider:.1f}")


@app.command(rich_help_panel=_PANEL)
def evaluate() -> None:
    """Captions the held-out split and scores it, with intervals, human ceiling and floor.

    Example: `captiongen evaluate`, or through DVC, which keeps the result: `dvc repro evaluate`.
    """
    from captiongen.metrics.report import format_report
    from captiongen.stages.evaluate import evaluate as run

    layout = Layout()
    params = load_params(layout.params)
    with _measured("evaluate"):
        result = run(
            params.evaluate, model_folder=layout.model, data_folder=layout.processed, out_folder=layout.evaluation
        )
        with _run_of_model(layout) as tracker:
            metrics = {
                f"{params.evaluate.split}_{name}": metric.value for name, metric in result.report.metrics.items()
            }
            tracker.log_metrics(metrics, step=0)
            tracker.log_file(layout.evaluation, folder="evaluation")
    _say(format_report(result.report))


@contextmanager
def _run_of_model(layout: Layout) -> Iterator["MlflowTracker"]:
    """The MLflow run that made the model in the working tree; one is restored where this server has none."""
    from captiongen.adapters.mlflow_tracking import continue_run
    from captiongen.model.checkpoint import read_manifest

    def restore(tracker: "MlflowTracker") -> None:
        _log_inputs(tracker, layout.root)
        tracker.log_file(layout.training, folder="training")

    with continue_run(layout.root, read_manifest(layout.model).weights_sha256, restore=restore) as tracker:
        yield tracker


def _log_inputs(tracker: "MlflowTracker", root: Path) -> None:
    from captiongen.adapters.lineage import read_locked_md5s

    for path, md5 in read_locked_md5s(root, "train").items():
        if path.startswith("data/"):
            tracker.log_dataset(Path(path).name, path=path, md5=md5, context="training")


@contextmanager
def _measured(stage: str) -> Iterator[None]:
    """Says at the end what the stage cost."""
    started = time.monotonic()
    yield
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    _say(f"{stage}: {time.monotonic() - started:.0f} s, peak memory {peak_bytes / 2**30:.2f} GiB")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
