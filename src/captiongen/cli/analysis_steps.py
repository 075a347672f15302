"""The error analysis of any model on any split of the project's data; flows/error_analysis.py calls it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from captiongen.cli.layout import Layout
from captiongen.cli.model_uri import model_folder
from captiongen.metrics.report import read_report
from captiongen.params import Params
from captiongen.types import MetricsReport, Split

if TYPE_CHECKING:
    from captiongen.stages.analyse import AnalysisResult


@dataclass(frozen=True, slots=True)
class ModelAnalysis:
    """What an analysis found, and the MLflow run that keeps it."""

    report: MetricsReport
    result: "AnalysisResult"
    run_id: str


def analyse_model(
    layout: Layout, params: Params, *, uri: str, split: Split, against: str | None = None
) -> ModelAnalysis:
    """Captions a split with a model, finds what is wrong with the captions, and keeps all of it with the model's run.

    Args:
        layout: of the project.
        params: of the project: how to score, and how many captions to show.
        uri: `models:/NAME@ALIAS`, `models:/NAME/VERSION`, `runs:/RUN/PATH`, `starter`, or a local folder.
        split: any split that has images.
        against: another model, which captions the same split to be compared with.

    Raises:
        DataError: the split is empty or its pictures are gone.
        ServiceError: the registry or the tracking server fails.
    """
    from captiongen.adapters.mlflow_tracking import continue_run
    from captiongen.cli.model_run import log_analysis, log_evaluation
    from captiongen.model.checkpoint import read_manifest
    from captiongen.stages.analyse import analyse

    def named(name: str) -> Path:
        return model_folder(name, project=layout.root, model_name=params.release.model_name)

    folder = named(uri)
    rival = None if against is None else _evaluate(named(against), layout, params, split)
    evaluation = _evaluate(folder, layout, params, split)
    result = analyse(
        params.analyse,
        model_folder=folder,
        evaluation_folder=evaluation,
        data_folder=layout.processed,
        manifest=layout.interim / "manifest.parquet",
        split=split,
        state_folder=layout.state,
        out_folder=evaluation.parent / "analysis",
        rival=None if rival is None else rival / "captions.parquet",
    )
    report = read_report(evaluation / "metrics.json")
    with continue_run(layout.root, read_manifest(folder).weights_sha256) as tracker:
        log_evaluation(tracker, report, split)
        log_analysis(tracker, result, layout.processed, split)
    return ModelAnalysis(report, result, tracker.run_id)


def _evaluate(model_folder: Path, layout: Layout, params: Params, split: Split) -> Path:
    """Captions and scores a split; returns the folder that holds the evaluation."""
    from captiongen.cli.split_captions import caption_split_with
    from captiongen.data.shards import open_processed
    from captiongen.evaluation import write_evaluation
    from captiongen.model.checkpoint import read_manifest

    manifest = read_manifest(model_folder)
    out_folder = layout.state / "analysis" / f"{manifest.weights_sha256[:12]}-{split}" / "evaluation"
    write_evaluation(
        tuple(caption_split_with(model_folder, layout, params, split)),
        manifest,
        params.evaluate,
        split=split,
        split_hash=open_processed(layout.processed).split_hashes[split],
        out_folder=out_folder,
    )
    return out_folder
