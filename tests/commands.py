"""Every command of `captiongen`, by the words that call it."""

from collections.abc import Iterator

import click
import typer.main

from captiongen.cli.app import app


def all_commands() -> dict[str, click.Command]:
    """Returns the commands that do something: of a group such as `feedback`, its members as `feedback list`."""
    return dict(_commands(typer.main.get_command(app)))


def _commands(command: click.Command, *words: str) -> Iterator[tuple[str, click.Command]]:
    members = getattr(command, "commands", None)
    if members is None:
        yield " ".join(words), command
    for name, member in (members or {}).items():
        yield from _commands(member, *words, name)
