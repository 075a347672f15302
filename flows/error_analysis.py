"""The error analysis as a Prefect flow: any model version, any split; the worst captions are published.

    python flows/error_analysis.py --model models:/captiongen@champion --split dev
    prefect deployment run error-analysis/weekly --param split=dev

They appear as artifacts of the flow run in Prefect, and with their pictures on the model's run in MLflow.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from captiongen.cli.analysis_steps import ModelAnalysis, analyse_model
from captiongen.cli.app import run
from captiongen.cli.environment import prepare_prefect
from captiongen.cli.layout import Layout
from captiongen.metrics.report import format_report
from captiongen.params import load_params

prepare_prefect(Path(__file__).resolve().parents[1])  # Prefect reads its settings when it is imported

from prefect import flow, get_run_logger, task  # noqa: E402
from prefect.artifacts import create_markdown_artifact, create_table_artifact  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402

EvaluatedSplit = Literal["train", "dev", "test"]


@task(task_run_name="analyse {model} on {split}", cache_policy=NO_CACHE, persist_result=False, timeout_seconds=6 * 3600)
def analyse(project: Path, model: str, split: EvaluatedSplit) -> ModelAnalysis:
    """Captions, scores and ranks; keeps the files and the worst pictures with the model's run."""
    layout = Layout(project)
    return analyse_model(layout, load_params(layout.params), uri=model, split=split)


@flow(name="error-analysis", persist_result=False)
def error_analysis(project: Path = Path(), model: str | None = None, split: EvaluatedSplit = "test") -> str:
    """Publishes the worst captions of a model on a split.

    Args:
        project: the project folder.
        model: models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN/PATH or a folder; by default the champion.
        split: of the project's data.

    Returns:
        The id of the MLflow run that keeps the analysis.
    """
    params = load_params(Layout(project).params)
    uri = model or f"models:/{params.release.model_name}@champion"
    found = analyse(project, uri, split)
    worst = found.result.ranked[: params.analyse.num_worst]
    create_table_artifact(
        [
            {
                "rank": rank,
                "image": one.image.image_id,
                "badness": round(one.badness, 3),
                "CIDEr": round(one.scores.cider, 1),
                "human CIDEr": None if one.scores.human_cider is None else round(one.scores.human_cider, 1),
                "caption": one.image.hypotheses[0].caption,
                "references": " | ".join(one.image.references),
            }
            for rank, one in enumerate(worst, start=1)
        ],
        key="worst-captions",
        description=f"Worst {len(worst)} captions of {uri} on the {split} split",
    )
    create_markdown_artifact(
        f"# {uri} on the {split} split\n\n```\n{format_report(found.report)}\n```\n\n"
        f"Pictures, files and all {len(found.result.ranked)} captions: MLflow run `{found.run_id}`, "
        f"artifacts `analysis/{split}`.",
        key="error-analysis",
        description="Metrics, and where the whole analysis lies",
    )
    get_run_logger().info(f"analysis kept on MLflow run {found.run_id}; page: {found.result.page}")
    return found.run_id


def main(
    model: Annotated[str | None, typer.Option(help="models:/NAME@ALIAS or /VERSION, or a folder.")] = None,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    project: Annotated[Path, typer.Option(help="The project folder.")] = Path(),
) -> None:
    """Publishes the worst captions of a model on a split as a Prefect flow."""
    typer.echo(f"kept on MLflow run {error_analysis(project, model, split)}")


if __name__ == "__main__":
    run(lambda: typer.run(main))
