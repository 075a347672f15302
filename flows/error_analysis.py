"""The error analysis as a Prefect flow: any model version, any split; what is wrong with its captions is published.

    python flows/error_analysis.py --model models:/captiongen@challenger --against models:/captiongen@champion
    prefect deployment run error-analysis/weekly --param split=dev

Worst captions, costs, slices and regressions appear as artifacts of the flow run in Prefect, and the whole page on the
model's run in MLflow.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from captiongen.adapters.prefect_artifacts import publish_analysis
from captiongen.cli.analysis_steps import ModelAnalysis, analyse_model
from captiongen.cli.app import run
from captiongen.cli.corrections_commands import open_desk
from captiongen.cli.environment import prepare_prefect
from captiongen.cli.layout import Layout
from captiongen.data.feedback import FeedbackFolder
from captiongen.errors import UsageError
from captiongen.metrics.report import format_report
from captiongen.params import load_params

prepare_prefect(Path(__file__).resolve().parents[1])  # Prefect reads its settings when it is imported

from prefect import flow, get_run_logger, task  # noqa: E402
from prefect.artifacts import create_markdown_artifact  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402

EvaluatedSplit = Literal["train", "dev", "test"]


@task(task_run_name="analyse {model} on {split}", cache_policy=NO_CACHE, persist_result=False, timeout_seconds=6 * 3600)
def analyse(project: Path, model: str, split: EvaluatedSplit, against: str | None) -> ModelAnalysis:
    """Captions, scores and finds what is wrong; keeps page, files and the worst pictures with the model's run."""
    layout = Layout(project)
    return analyse_model(layout, load_params(layout.params), uri=model, split=split, against=against)


@task(task_run_name="collect feedback", cache_policy=NO_CACHE, persist_result=False)
def collect_feedback(project: Path, folder: Path | None) -> int:
    """Makes proposals of what people reported to the service; returns how many are undecided."""
    layout = Layout(project)
    kept = folder or layout.feedback
    if folder is not None and not folder.is_dir():
        raise UsageError(f"Expected the feedback of a service in {folder}, found no such folder. Name it, or none.")
    return len(open_desk(layout).import_feedback(FeedbackFolder(kept))) if kept.is_dir() else 0


@flow(name="error-analysis", persist_result=False)
def error_analysis(
    project: Path = Path(),
    model: str | None = None,
    split: EvaluatedSplit = "test",
    against: str | None = None,
    feedback: Path | None = None,
) -> str:
    """Publishes what is wrong with a model's captions of a split, and collects what people reported.

    Args:
        project: the project folder.
        model: models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN/PATH or a folder; by default the champion.
        split: of the project's data.
        against: a model to compare with, such as the champion where `model` is the challenger.
        feedback: where the service keeps its reports; by default the project's own folder.

    Returns:
        The id of the MLflow run that keeps the analysis.
    """
    params = load_params(Layout(project).params)
    uri = model or f"models:/{params.release.model_name}@champion"
    found = analyse(project, uri, split, against)
    title = f"{uri} on the {split} split"
    publish_analysis(found.result.page.parent, title, num_worst=params.analyse.num_worst)
    create_markdown_artifact(
        f"# {title}\n\n```\n{format_report(found.report)}\n```\n\n"
        f"The page with pictures, the table of all {len(found.result.findings.captions)} captions, and tasks for Label "
        f"Studio: MLflow run `{found.run_id}`, artifacts `analysis/{split}`.",
        key="error-analysis",
        description="Metrics, and where the whole analysis lies",
    )
    get_run_logger().info(f"analysis kept on MLflow run {found.run_id}; page: {found.result.page}")
    if num_open := collect_feedback(project, feedback):
        get_run_logger().info(f"{num_open} reports of captions wait for a decision: captiongen corrections review")
    return found.run_id


def main(
    model: Annotated[str | None, typer.Option(help="models:/NAME@ALIAS or /VERSION, or a folder.")] = None,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    against: Annotated[str | None, typer.Option(help="A model to compare with.")] = None,
    feedback: Annotated[
        Path | None, typer.Option(help="Where the service keeps its reports.", envvar="CAPTIONGEN_FEEDBACK")
    ] = None,
    project: Annotated[Path, typer.Option(help="The project folder.")] = Path(),
) -> None:
    """Publishes what is wrong with a model's captions of a split as a Prefect flow."""
    typer.echo(f"kept on MLflow run {error_analysis(project, model, split, against, feedback)}")


if __name__ == "__main__":
    run(lambda: typer.run(main))
