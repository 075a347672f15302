"""The data pipeline as a Prefect flow: every stage of dvc.yaml, in DVC's order, one task each.

    python flows/pipeline.py                  with a server of its own, or the one PREFECT_API_URL names
    prefect deployment run pipeline/nightly   through a worker

DVC decides what is stale and what is cached; Prefect says when, shows how it went, and stops it. So nothing is cached
here, and a plain `dvc repro` leaves the same dvc.lock.
"""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from captiongen.adapters.dvc_pipeline import DvcPipeline, StageRun
from captiongen.adapters.prefect_artifacts import publish_analysis
from captiongen.cli.app import run
from captiongen.cli.environment import prepare_prefect
from captiongen.cli.layout import Layout
from captiongen.params import load_params

prepare_prefect(Path(__file__).resolve().parents[1])  # Prefect reads its settings when it is imported

from prefect import flow, get_run_logger, task  # noqa: E402
from prefect.artifacts import create_markdown_artifact  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402

_KILLED = re.compile(r"exited with (-\d+|13\d|14\d)\b")


def was_killed(task: Any, task_run: Any, state: Any) -> bool:
    """Only a stage that a signal ended (out of memory, most often) is tried again: a training goes on where it was."""
    return bool(_KILLED.search(str(state.data)))


@task(
    task_run_name="{name}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=1,
    retry_delay_seconds=10,
    retry_condition_fn=was_killed,
)
def run_stage(project: Path, name: str) -> StageRun:
    """Brings one stage up to date through DVC."""
    return DvcPipeline(project).run_stage(name, log=get_run_logger().info)


@task(task_run_name="nothing left to do", cache_policy=NO_CACHE, persist_result=False)
def check_complete(project: Path) -> None:
    """Holds that a plain `dvc repro` would run nothing."""
    DvcPipeline(project).check_complete()


@task(task_run_name="publish the analysis", cache_policy=NO_CACHE, persist_result=False)
def publish(project: Path) -> None:
    """Shows the worst captions, what errors cost and where they are, as artifacts of this run."""
    layout = Layout(project)
    params = load_params(layout.params)
    title = f"the new model on the {params.evaluate.split} split"
    publish_analysis(layout.analysis, title, num_worst=params.analyse.num_worst)


@flow(name="pipeline", persist_result=False)
def pipeline(project: Path = Path(), stage_hours: float = 24.0) -> list[StageRun]:
    """Runs the data pipeline.

    Args:
        project: the folder of dvc.yaml.
        stage_hours: a stage that takes longer is stopped, with every process it started.
    """
    logger = get_run_logger()
    stages = DvcPipeline(project)
    bounded = run_stage.with_options(timeout_seconds=stage_hours * 3600)
    done: list[StageRun] = []
    try:
        with stages.exclusive(log=logger.info):
            for name in stages.stages():
                done.append(bounded(project, name))  # noqa: PERF401 - the table shows them when one fails
            check_complete(project)
        if any(stage.name == "analyse" and stage.outcome == "ran" for stage in done):
            publish(project)
    finally:
        create_markdown_artifact(_table(done), key="pipeline-stages", description="Stages that ran or were cached")
    return done


def _table(runs: list[StageRun]) -> str:
    rows = [f"| {run.name} | {run.outcome} | {run.seconds:.1f} |" for run in runs]
    return "\n".join(["| stage | outcome | seconds |", "|---|---|---:|", *rows])


def main(
    project: Annotated[Path, typer.Option(help="Folder of dvc.yaml.")] = Path(),
    stage_hours: Annotated[float, typer.Option(help="Longest time for a stage.", min=0.01)] = 24.0,
) -> None:
    """Runs the data pipeline as a Prefect flow."""
    for stage in pipeline(project, stage_hours):
        typer.echo(f"{stage.name:<24} {stage.outcome:<6} {stage.seconds:6.1f} s")


if __name__ == "__main__":
    run(lambda: typer.run(main))
