"""The MLflow run of the model in the working tree, and what a run records of its inputs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from captiongen.cli.layout import Layout
from captiongen.types import MetricsReport, Split

if TYPE_CHECKING:
    from captiongen.adapters.mlflow_tracking import MlflowTracker
    from captiongen.stages.analyse import AnalysisResult
    from captiongen.training.snapshot import EpochRecord

_NUM_WORST_PICTURES = 20


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
        if layout.training.is_dir():
            tracker.log_file(layout.training, folder="training")

    with continue_run(layout.root, read_model_facts(layout.model)["weights_sha256"], restore=restore) as tracker:
        yield tracker


def log_inputs(tracker: "MlflowTracker", root: Path) -> None:
    """Records what the training reads, by its DVC hashes."""
    from captiongen.adapters.lineage import read_locked_md5s

    for path, md5 in read_locked_md5s(root, "train").items():
        if path.startswith("data/"):
            tracker.log_dataset(Path(path).name, path=path, md5=md5, context="training")


def log_training(tracker: "MlflowTracker", history: "Sequence[EpochRecord]") -> None:
    """Draws the curves of a training, epoch by epoch; one that has no points is left out."""
    curves = {
        "train loss": [(row.epoch, row.train_loss) for row in history],
        "dev R2": [(row.epoch, row.dev_r2) for row in history if row.dev_r2 is not None],
        "dev CIDEr": [(row.epoch, row.dev_cider) for row in history if row.dev_cider is not None],
    }
    tracker.log_curves({label: points for label, points in curves.items() if points}, name="curves", x_label="epoch")


def log_evaluation(tracker: "MlflowTracker", report: MetricsReport, split: Split) -> None:
    """Keeps the scores of a split with the model's run, and draws its risk-coverage curve."""
    from captiongen.metrics.report import flat_metrics

    tracker.log_metrics({f"{split}_{name}": number for name, number in flat_metrics(report).items()}, step=0)
    if report.reliability is not None:
        curve = [(point.coverage, point.cider) for point in report.reliability.curve]
        tracker.log_curves({"CIDEr of the surest": curve}, name=f"risk_coverage_{split}", x_label="coverage")


def log_analysis(tracker: "MlflowTracker", result: "AnalysisResult", data_folder: Path, split: Split) -> None:
    """Keeps an analysis with the model's run: its files, and the worst captions under their pictures."""
    from captiongen.data.shards import open_processed

    judged = [one.judged.image for one in result.findings.captions[:_NUM_WORST_PICTURES]]
    worst = {image.image_id: image.hypotheses[0].caption for image in judged}
    rows = open_processed(data_folder).rows(split)
    picture_of = {row.image_id: row.image_png for row in rows if row.image_id in worst}
    tracker.log_file(result.page.parent, folder=f"analysis/{split}")
    gains = {f"{split}_gain_{cost.type.value.replace(' ', '_')}": cost.gain.mean
             for cost in result.findings.costs if cost.type and cost.gain}  # fmt: skip
    tracker.log_metrics({**gains, f"{split}_badness": result.findings.mean_badness}, step=0)
    pictures = [picture_of[image_id] for image_id in worst]
    tracker.log_captions(pictures, list(worst.values()), name=f"worst {split}", step=0)
