"""Releasing the model of the working tree, and naming the ancestors of a released one."""

from pathlib import Path
from typing import Annotated

import typer

from captiongen.cli.layout import Layout
from captiongen.params import load_params

app = typer.Typer(rich_markup_mode="markdown")
_PANEL = "Release"


@app.command(rich_help_panel=_PANEL, epilog="Example: `dvc repro && captiongen release`")
def release(
    is_dirty_allowed: Annotated[
        bool, typer.Option("--allow-dirty", help="Release uncommitted code or params as an experiment, marked as such.")
    ] = False,
) -> None:
    """Registers the model, holds it against the champion, and puts it into service: promote, package, try out.

    A model that is in service already is left as it is. A model that fails the gate stays `challenger` (exit code 4).
    """
    from captiongen.cli import release_steps as steps

    layout = Layout()
    params = load_params(layout.params)
    if (finished := steps.find_finished(layout, params)) is not None:
        typer.echo(f"{finished.name} version {finished.version} is this model, and in service: nothing to release.")
        typer.echo(f"  Bento {finished.tags[steps.BENTO_TAG]}")
        return
    candidate = steps.inspect_candidate(layout, params, allow_dirty=is_dirty_allowed)
    version = steps.register(layout, params, candidate)
    typer.echo(f"registered: {version.name} version {version.version}")
    verdict = steps.judge(layout, params, candidate, version)
    verdict = steps.promote(layout, params, candidate, version, verdict)
    typer.echo(f"champion: version {version.version}. {verdict.describe()}")
    bento = steps.package(layout, params, version)
    typer.echo(f"packaged as Bento {bento}")
    answer = steps.smoke_test(layout, params, version, bento)
    typer.echo(f'the service says of a held-out picture: "{answer["caption"]}"')


@app.command(
    rich_help_panel=_PANEL,
    epilog="Example: `curl -F image=@dog.jpg localhost:3000/caption | captiongen lineage --answer -`",
)
def lineage(
    model: Annotated[
        str | None, typer.Option(help="models:/NAME@ALIAS or models:/NAME/VERSION; by default the champion.")
    ] = None,
    answer: Annotated[
        Path | None, typer.Option(help="JSON that `POST /caption` answered (`-`: standard input); walks from there.")
    ] = None,
) -> None:
    """Names every ancestor of a released model, from a served answer down to DVC's hashes, and checks each link.

    A link that does not hold is named, and the exit code is 4.
    """
    from captiongen.cli.lineage_walk import read_answer, walk

    layout = Layout()
    params = load_params(layout.params)
    for link in walk(layout, params, uri=model, answer=None if answer is None else read_answer(answer)):
        typer.echo(link)
