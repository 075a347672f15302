"""The captions that `captiongen judge` judges: a table of images and captions."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path

import typer

from captiongen.errors import DataError, UsageError
from captiongen.text.printable import printable

COLUMNS = ("image", "caption")
_NUM_SHOWN = 20


def read_candidates(path: Path) -> list[tuple[str, str]]:
    """Reads (image, caption) pairs; the order of the columns does not matter, and others may stand beside them.

    Args:
        path: a .csv with commas and quotes, or of any other suffix a table with tabs, quotes being part of captions.

    Raises:
        UsageError: the file is not there.
        DataError: it is no such table, or a line lacks a cell.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"Expected captions to judge at {path} (--candidates), found none.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Expected UTF-8 text in {path}, could not read it: {error}.") from error
    lines = _cells(path, text)
    _, header = next(lines, (1, []))
    _need_columns(header, path)
    problems, rows = [], []
    for number, cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        named = dict(zip(header, cells, strict=False))
        image, caption = (named.get(column, "").strip() for column in COLUMNS)
        if image and len(cells) == len(header):  # a caption may be empty: a captioner may say nothing
            rows.append((image, caption))
        else:
            found = printable(" | ".join(cells))
            problems.append(f"line {number}: expected {len(header)} cells, an image among them; found {found}")
    _report(problems, "Mend the lines named above.")
    if not rows:
        raise DataError(f"{path}: expected captions below the first line, found none.")
    return rows


def need_known(rows: Sequence[tuple[str, str]], names: Mapping[str, str], ambiguous: Mapping[str, int]) -> None:
    """Refuses candidates of images that nobody captioned.

    Args:
        rows: (image, caption).
        names: what an image is called -> its id.
        ambiguous: names that several images go by -> how many.

    Raises:
        DataError: all of them are named on standard error.
    """
    unknown = sorted({image for image, _ in rows} - names.keys())
    _report(
        [
            f"{printable(image)}: {ambiguous[image]} captioned images have this file name; write the folder before it"
            if image in ambiguous
            else f"{printable(image)}: not among the captioned pictures"
            for image in unknown
        ],
        "Name images as the captions file does, and check --images.",
    )


def _cells(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yields the cells of each line, with its number."""
    if path.suffix.lower() != ".csv":
        # Not `splitlines`, which also breaks a caption at the rarer separators of Unicode.
        for number, line in enumerate(text.split("\n"), start=1):
            yield number, line.removesuffix("\r").split("\t")
        return
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: no valid CSV: {error}. Mend the line.") from error


def _need_columns(header: Sequence[str], path: Path) -> None:
    between = "a comma" if path.suffix.lower() == ".csv" else "a tab"
    found = ", ".join(header) or "nothing"
    if not set(COLUMNS) <= set(header):
        raise DataError(
            f"{path}: expected a first line with the columns image and caption, {between} between; found {found}."
        )
    if len(set(header)) < len(header):
        raise DataError(f"{path}: expected columns of different names, found {found}. Rename or remove one of them.")


def _report(problems: Sequence[str], remedy: str) -> None:
    for problem in problems[:_NUM_SHOWN]:
        typer.echo(problem, err=True)
    if len(problems) > _NUM_SHOWN:
        typer.echo(f"... and {len(problems) - _NUM_SHOWN} more", err=True)
    if problems:
        raise DataError(
            f"Expected an image with references and a caption on each line; that failed {len(problems)} times. {remedy}"
        )
