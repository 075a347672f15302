"""The error analysis of any model on any split of the project's data; flows/error_analysis.py calls it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from captiongen.cli.layout import Layout
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


def analyse_model(layout: Layout, params: Params, *, uri: str, split: Split) -> ModelAnalysis:
    """Captions a split with a model, scores and ranks the captions, and keeps all of it with the model's run.

    Args:
        layout: of the project.
        params: of the project: how to score, and how many captions to show.
        uri: `models:/NAME@ALIAS`, `models:/NAME/VERSION`, `runs:/RUN/PATH`, or a local folder.
        split: any split that has images.

    Raises:
        DataError: the split is empty or its pictures are gone.
        ServiceError: the registry or the tracking server fails.
    """
    from captiongen.adapters.mlflow_registry import download_model
    from captiongen.adapters.mlflow_tracking import continue_run
    from captiongen.cli.model_run import log_analysis, log_evaluation
    from captiongen.cli.split_captions import caption_split_with
    from captiongen.data.shards import open_processed
    from captiongen.evaluation import write_evaluation
    from captiongen.model.checkpoint import read_manifest
    from captiongen.stages.analyse import analyse

    folder = download_model(uri, project=layout.root)
    manifest = read_manifest(folder)
    out_folder = layout.state / "analysis" / f"{manifest.weights_sha256[:12]}-{split}"
    evaluation = write_evaluation(
        tuple(caption_split_with(folder, layout, params, split)),
        manifest,
        params.evaluate,
        split=split,
        split_hash=open_processed(layout.processed).split_hashes[split],
        out_folder=out_folder / "evaluation",
    )
    result = analyse(
        params.analyse,
        evaluation_folder=out_folder / "evaluation",
        data_folder=layout.processed,
        split=split,
        out_folder=out_folder / "analysis",
    )
    with continue_run(layout.root, manifest.weights_sha256) as tracker:
        log_evaluation(tracker, evaluation.report, split)
        log_analysis(tracker, result, layout.processed, split)
    return ModelAnalysis(evaluation.report, result, tracker.run_id)
