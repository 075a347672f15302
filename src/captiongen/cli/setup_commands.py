"""Commands about this machine: what is there, what is missing, and how the tools are set."""

import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from captiongen.cli.layout import Layout
from captiongen.errors import ServiceError

app = typer.Typer(rich_markup_mode="markdown")

_PANEL = "This machine"


@app.command(rich_help_panel=_PANEL, epilog="Examples: `captiongen doctor`, `captiongen doctor --json | jq .`")
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list of {name, state, found, remedy}.")] = False,
    online: Annotated[bool, typer.Option("--online", help="Also ask the model hub for the encoder's weights.")] = False,
) -> None:
    """Says what is there, what is missing, and how to mend it; changes nothing.

    Exits with 0 when all that is needed is there (what is `optional` may be absent), with 7 when something is
    `missing` without which nothing runs.
    """
    from rich.console import Console

    from captiongen.cli.health import examine

    if as_json:
        checks = list(examine(Layout(), ask_hub=online))
        typer.echo(json.dumps([asdict(check) for check in checks], indent=2))
        _refuse_missing([check.name for check in checks if check.state == "missing"])
        return
    console = Console(highlight=False, soft_wrap=True)
    marks = {"ok": "[green]ok[/]      ", "optional": "[yellow]optional[/]", "missing": "[red]missing[/] "}
    missing = []
    for check in examine(Layout(), ask_hub=online):
        console.print(f"{marks[check.state]} {check.name}: ", end="")
        console.print(check.found, markup=False)
        if check.remedy:
            console.print(f"           {check.remedy}", markup=False)
        if check.state == "missing":
            missing.append(check.name)
    _refuse_missing(missing)
    console.print("Everything that is needed is there.")


def _refuse_missing(names: Sequence[str]) -> None:
    if names:
        raise ServiceError(f"missing: {', '.join(names)}. The lines above say how to mend it.")


@app.command(rich_help_panel=_PANEL, epilog='Example: `eval "$(captiongen env)"` before `mlflow`, `prefect`, `bentoml`')
def env() -> None:
    """Prints the environment of the tools beside CaptionGen as shell lines.

    Telemetry is off and what the tools keep stays in the project folder. What is already set in your shell wins.
    """
    from captiongen.adapters.mlflow_store import tracking_uri
    from captiongen.cli.environment import defaults

    for name, default in {**defaults(Path()), "MLFLOW_TRACKING_URI": tracking_uri(Path())}.items():
        typer.echo(f"export {name}={shlex.quote(os.environ.get(name, default))}")
