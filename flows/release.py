"""The release as a Prefect flow: register, gate, promote, package, try out.

    python flows/release.py
    prefect deployment run release/on-demand

Every step is keyed by what it releases, so a replay changes nothing and any step may be tried again. The steps
themselves are in `captiongen.cli.release_steps`; `captiongen release` calls the same ones without Prefect.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from captiongen.adapters.lineage import format_lineage
from captiongen.cli import release_steps as steps
from captiongen.cli.app import run
from captiongen.cli.environment import prepare_prefect
from captiongen.cli.layout import Layout
from captiongen.errors import ServiceError
from captiongen.params import load_params

prepare_prefect(Path(__file__).resolve().parents[1])  # Prefect reads its settings when it is imported

from prefect import flow, get_run_logger, task  # noqa: E402
from prefect.artifacts import create_markdown_artifact  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402

Result = TypeVar("Result")


def is_passing_trouble(task_: Any, task_run: Any, state: Any) -> bool:
    """A tool beside us that failed may work again in a moment; a refusal stays one."""
    return isinstance(state.data, ServiceError)


@task(
    task_run_name="{name}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_delay_seconds=5,
    retry_condition_fn=is_passing_trouble,
    timeout_seconds=3600,
)
def step(name: str, do: Callable[[], Result]) -> Result:
    """Takes one step of the release."""
    return do()


@flow(name="release", persist_result=False)
def release(project: Path = Path(), allow_dirty: bool = False) -> str:
    """Releases the model of the working tree, unless it is in service already.

    Args:
        project: the project folder.
        allow_dirty: release uncommitted code or params as an experiment, marked as such.

    Returns:
        The tag of the model's Bento.
    """
    layout, logger = Layout(project), get_run_logger()
    params = load_params(layout.params)
    if (finished := steps.find_finished(layout, params)) is not None:
        logger.info(f"{finished.name} version {finished.version} is this model, and in service: nothing to release")
        return finished.tags[steps.BENTO_TAG]
    candidate = step("inspect", lambda: steps.inspect_candidate(layout, params, allow_dirty=allow_dirty))
    key = candidate.lineage.model_sha256[:12]
    version = step(f"register {key}", lambda: steps.register(layout, params, candidate))
    name = f"{version.name} version {version.version}"
    verdict = step(f"gate {name}", lambda: steps.judge(layout, params, candidate, version))
    verdict = step(f"promote {name}", lambda: steps.promote(layout, params, candidate, version, verdict))
    bento = step(f"package {name}", lambda: steps.package(layout, params, version))
    answer = step(f"try {bento}", lambda: steps.smoke_test(layout, params, version, bento))
    create_markdown_artifact(
        f"**{name}** is champion.\n\n{verdict.describe()}\n\nBento `{bento}` says of a held-out picture: "
        f"*{answer['caption']}*\n\n```\n{format_lineage(version.lineage)}\n```",
        key="release",
        description="What was released, why it passed, and where it comes from",
    )
    return bento


def main(
    project: Annotated[Path, typer.Option(help="The project folder.")] = Path(),
    allow_dirty: Annotated[bool, typer.Option("--allow-dirty", help="Release an uncommitted experiment.")] = False,
) -> None:
    """Releases the model of the working tree as a Prefect flow."""
    typer.echo(f"in service as Bento {release(project, allow_dirty)}")


if __name__ == "__main__":
    run(lambda: typer.run(main))
