"""What people reported to the service: to read, to hand on, and to delete."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from captiongen.cli.layout import Layout
from captiongen.errors import UsageError
from captiongen.text.printable import printable

if TYPE_CHECKING:
    from captiongen.data.feedback import FeedbackFolder, FeedbackRecord

app = typer.Typer(rich_markup_mode="markdown")
feedback = typer.Typer(
    help="What people reported to the service: to read, to hand on, and to delete.",
    epilog="Example: `captiongen feedback list`",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.add_typer(feedback, name="feedback", rich_help_panel="Models and captions")

Folder = Annotated[
    Path | None,
    typer.Option(
        help="Where it is kept; by default .captiongen/feedback of this project.",
        envvar="CAPTIONGEN_FEEDBACK",
        show_default=False,
    ),
]


@feedback.command("list", epilog="Example: `captiongen feedback list`")
def list_feedback(folder: Folder = None) -> None:
    """Shows what was reported, the oldest first."""
    kept = open_feedback(folder)
    for record in kept.records():
        typer.echo(_describe(record))
    usage = kept.usage()
    typer.echo(f"{usage.num_records:,} records, {usage.num_bytes / 1024**2:,.1f} MB in {kept.root}")


@feedback.command(epilog="Example: `captiongen feedback delete 9f86d081884c7d659a2feaa0c55ad015`")
def delete(
    ids: Annotated[list[str], typer.Argument(help="Of the records, as people were told them.", metavar="ID...")],
    folder: Folder = None,
) -> None:
    """Deletes records and their pictures for good."""
    kept = open_feedback(folder)
    kept.delete(*ids)
    typer.echo(f"deleted {len(ids)}; {kept.usage().num_records:,} left in {kept.root}")
    tell_left_behind(kept)


@feedback.command(epilog="Example: `captiongen feedback export feedback-2026-11`")
def export(
    out: Annotated[
        Path, typer.Argument(help="A new folder: feedback.jsonl, and images/ with what pictures there are.")
    ],
    folder: Folder = None,
) -> None:
    """Copies all records into a folder that only you can read; what is kept stays as it is."""
    import json

    from captiongen.files import atomic_folder

    kept = open_feedback(folder)
    if out.exists():
        raise UsageError(f"Expected a new folder, found {out}. Name another: nothing is overwritten.")
    lines = []
    with atomic_folder(out) as exported:
        exported.chmod(0o700)
        (exported / "images").mkdir()
        for record in kept.records():
            picture = kept.picture(record)
            image = None if picture is None else f"images/{record.id}.jpg"
            if image is not None and picture is not None:
                (exported / image).write_bytes(picture)
            lines.append(json.dumps({**record.model_dump(mode="json"), "image": image}, ensure_ascii=False))
        (exported / "feedback.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    typer.echo(f"exported {len(lines):,} records: {out}")


@feedback.command(epilog="Example: `captiongen feedback purge --older-than 90`")
def purge(
    older_than: Annotated[int, typer.Option(help="Days since the report came; 0 for all of them.", min=0)],
    folder: Folder = None,
) -> None:
    """Deletes what is older than so many days, pictures included, for good."""
    kept = open_feedback(folder)
    moment = datetime.now(UTC) - timedelta(days=older_than)
    num_deleted = kept.purge(before=moment)
    typer.echo(
        f"deleted {num_deleted:,} received before {moment:%Y-%m-%d %H:%M} UTC; "
        f"{kept.usage().num_records:,} left in {kept.root}"
    )
    tell_left_behind(kept)


def tell_left_behind(feedback: "FeedbackFolder") -> None:
    """Names the pictures of this project's training data whose reports are gone: they are somebody's all the same."""
    from captiongen.data.corrections import read_decisions
    from captiongen.data.reported_captions import left_behind

    corrections = Layout().corrections
    stay = left_behind(read_decisions(corrections.accepted), feedback)
    if not stay:
        return
    num_pictures = len({one.picture for one in stay})
    typer.echo(f"{num_pictures:,} pictures of reports that are gone were accepted, and stay in {corrections.pictures}:")
    for one in stay:
        typer.echo(f"  {one}")
    typer.echo(
        f"To remove them: captiongen corrections undo {' '.join(one.id for one in stay)}, then dvc repro, and dvc gc "
        "(docs/operations.md, Correcting the training data)."
    )


def open_feedback(folder: Path | None) -> "FeedbackFolder":
    """Opens what a service keeps, by default for the project in this folder.

    Raises:
        UsageError: there is no such folder.
    """
    from captiongen.data.feedback import FeedbackFolder

    root = folder or Layout().feedback
    if not root.is_dir():
        raise UsageError(
            f"Expected feedback in {root}, found no such folder. A service takes feedback when it is told to: "
            "`captiongen serve --feedback`, or CAPTIONGEN_FEEDBACK=FOLDER. --folder names another."
        )
    return FeedbackFolder(root)


def _describe(record: "FeedbackRecord") -> str:
    about = [
        f"{record.received:%Y-%m-%d %H:%M}",
        f"{record.model.name} {record.model.version}",
        record.reason or "no reason",
        "no picture" if record.picture_sha256 is None else "with picture",
    ]
    correction = [] if record.correction is None else [f"  better: {record.correction}"]
    return "\n".join(map(printable, [f"{record.id}  {', '.join(about)}", f"  said:   {record.caption}", *correction]))
