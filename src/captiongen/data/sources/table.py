"""Captions in a table: CSV, TSV or JSONL beside a folder of pictures; the door for one's own images."""

import csv
import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path, PurePosixPath

from captiongen.data.sources.listing import Annotation, ListedSource, gather, parse_split, seeded
from captiongen.data.sources.stores import Store, open_store
from captiongen.errors import SourceError
from captiongen.params import IngestParams, TableParams
from captiongen.types import Rejection, Split

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_SUFFIXES = (*_DELIMITERS, ".jsonl")
#: The cells of a row by column; a text where the row is none.
_Cells = dict[str, object] | str


class TableSource(ListedSource):
    """One caption per row, or several columns of captions; image ids are the paths as the table has them."""

    def __init__(self, params: IngestParams, folder: Path, *, store: Store | None = None) -> None:
        table = params.table
        path = folder / table.captions_file if table.captions_file else _only_table(folder)
        store = store or open_store(folder / table.images_folder)
        lines = (_line(cells, f"{path.name} row {number}", table) for number, cells in _rows(path, table))
        super().__init__(params.name, store, gather(lines, store=store, split_of=seeded(params)))


def _only_table(folder: Path) -> Path:
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    if len(tables) != 1:
        found = ", ".join(path.name for path in tables) or "none"
        raise SourceError(
            f"Expected one CSV, TSV or JSONL file in {folder}, found {found}. "
            "Name it in params.yaml as ingest.table.captions_file."
        )
    return tables[0]


def _rows(path: Path, table: TableParams) -> Iterator[tuple[int, _Cells]]:
    """Yields rows with their numbers, the header being row 1."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read: {error.strerror}. Correct ingest.table.captions_file in params.yaml."
        ) from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is no UTF-8 text ({error}). Save it as UTF-8.") from error
    if path.suffix.lower() == ".jsonl":
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                yield number, _parse_json(line)
        return
    # Not splitlines(): a quoted caption may hold a line break.
    reader = csv.reader(StringIO(text, newline=""), delimiter=_DELIMITERS.get(path.suffix.lower(), ","), strict=True)
    try:
        header = next(reader, [])
        _check_header(header, path, table)
        for number, cells in enumerate(reader, start=2):
            if cells:
                yield number, dict(zip(header, cells, strict=True)) if len(cells) == len(header) else "\t".join(cells)
    except csv.Error as error:
        raise SourceError(f"{path} line {reader.line_num} is no valid table row: {error}.") from error


def _check_header(header: list[str], path: Path, table: TableParams) -> None:
    needed = [table.image_column, *table.caption_columns, *([table.split_column] if table.split_column else [])]
    missing = [column for column in needed if column not in header]
    if missing or len(set(header)) < len(header):
        raise SourceError(
            f"{path}: expected different columns, among them {', '.join(needed)}; found {', '.join(header) or 'none'}. "
            "Name the columns in params.yaml under ingest.table (`captiongen score`: --image-column, --caption-column)."
        )


def _parse_json(line: str) -> _Cells:
    try:
        cells = json.loads(line)
    except (ValueError, RecursionError):
        return line
    return cells if isinstance(cells, dict) else line


def _line(cells: _Cells, row: str, table: TableParams) -> Annotation | Rejection:
    if isinstance(cells, str):
        reason = f"{row}: not as many cells as the header has columns, or no JSON object; quote captions with commas"
        return Rejection("", "", reason, (cells,))
    values = _caption_values(cells, table)
    captions = tuple(str(value).strip() for value in values)
    if not all(isinstance(value, str) for value in values):
        return Rejection("", "", f"{row}: a caption is no text", captions)
    image = cells.get(table.image_column)
    if not isinstance(image, str) or not image.strip():
        return Rejection("", "", f"{row}: no image path in column {table.image_column}", captions)
    image_id = PurePosixPath(image.strip()).as_posix()
    split: Split | None = None
    if table.split_column is not None:
        name = str(cells.get(table.split_column))
        split = parse_split(name)
        if split is None:
            return Rejection(image_id, image_id, f"{row}: {name!r} is no split (train, dev, test, unused)", captions)
    return Annotation(image_id, image_id, captions, split)


def _caption_values(cells: dict[str, object], table: TableParams) -> list[object]:
    """Returns the filled caption cells of a row; a JSON list counts as several.

    One blank cell among several means fewer captions. A row with none keeps one empty caption, for the data contract to
    name.
    """
    values: list[object] = []
    for column in table.caption_columns:
        cell = cells.get(column)
        values.extend(cell if isinstance(cell, list) else [cell])
    return [value for value in values if not _is_blank(value)] or [""]


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
