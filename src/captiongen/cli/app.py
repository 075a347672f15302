"""The `captiongen` command: collects the families of commands and turns project errors into exit codes."""

import sys
from collections.abc import Callable
from typing import NoReturn

import typer

from captiongen.cli import (
    caption_commands,
    corrections_commands,
    data_commands,
    feedback_commands,
    judge_commands,
    release_commands,
    score_commands,
    serve_commands,
    setup_commands,
    stage_commands,
    starter_commands,
)
from captiongen.cli.environment import apply_defaults
from captiongen.cli.storage import storage_error
from captiongen.errors import CaptionGenError
from captiongen.text.printable import printable

app = typer.Typer(
    name="captiongen",
    help="From captioned photographs to a captioner in service.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done, 1 unexpected, 2 wrong call or params, 3 data, 4 a gate said no, 5 model, "
    "6 training, 7 a tool beside us failed, 8 the disk is full or may not be written.",
)
for family in (
    data_commands,
    corrections_commands,
    stage_commands,
    caption_commands,
    score_commands,
    judge_commands,
    release_commands,
    starter_commands,
    serve_commands,
    feedback_commands,
    setup_commands,
):
    app.add_typer(family.app)


def main() -> None:
    """Runs the command line."""
    apply_defaults()
    run(app)


def run(command: Callable[[], object]) -> None:
    """Runs a command; a project error is one clear message and its documented exit code."""
    try:
        command()
    except CaptionGenError as error:
        _leave(error)
    except Exception as error:
        if (storage := storage_error(error)) is None:
            raise
        _leave(storage)


def _leave(error: CaptionGenError) -> NoReturn:
    for line in f"error: {error}".split("\n"):  # it may quote what others wrote
        sys.stderr.write(f"{printable(line)}\n")
    sys.exit(error.exit_code)
