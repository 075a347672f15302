"""Commands about this machine: what is there, what is missing, and how the tools are set."""

import os
import shlex
from pathlib import Path

import typer

from captiongen.cli.layout import Layout
from captiongen.errors import ServiceError

app = typer.Typer(rich_markup_mode="markdown")

_PANEL = "This machine"


@app.command(rich_help_panel=_PANEL, epilog="Example: `captiongen doctor`")
def doctor() -> None:
    """Says what is there, what is missing, and how to mend it; changes nothing.

    Exits with 7 when something is missing without which nothing runs.
    """
    from rich.console import Console

    from captiongen.cli.health import examine

    console = Console(highlight=False, soft_wrap=True)
    marks = {"ok": "[green]ok[/]      ", "optional": "[yellow]optional[/]", "missing": "[red]missing[/] "}
    missing = []
    for check in examine(Layout()):
        console.print(f"{marks[check.state]} {check.name}: ", end="")
        console.print(check.found, markup=False)
        if check.remedy:
            console.print(f"           {check.remedy}", markup=False)
        if check.state == "missing":
            missing.append(check.name)
    if missing:
        raise ServiceError(f"missing: {', '.join(missing)}. The lines above say how to mend it.")
    console.print("Everything that is needed is there.")


@app.command(rich_help_panel=_PANEL, epilog='Example: `eval "$(captiongen env)"` before `mlflow`, `prefect`, `bentoml`')
def env() -> None:
    """Prints the environment of the tools beside CaptionGen as shell lines.

    Telemetry is off and what the tools keep stays in the project folder. What is already set in your shell wins.
    """
    from captiongen.adapters.mlflow_store import tracking_uri
    from captiongen.cli.environment import defaults

    for name, default in {**defaults(Path()), "MLFLOW_TRACKING_URI": tracking_uri(Path())}.items():
        typer.echo(f"export {name}={shlex.quote(os.environ.get(name, default))}")
