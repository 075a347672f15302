"""Finds out how a folder of one's own holds its captions: table or COCO JSON, which columns, where the pictures lie."""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from captiongen.data.sources import open_source
from captiongen.data.sources.listing import parse_split
from captiongen.errors import SourceError
from captiongen.params import IngestParams
from captiongen.text.normalise import metric_tokens
from captiongen.types import Rejection

_TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".txt")  # .txt: Kaggle's Flickr8k is a CSV of that name
#: How files of pictures end, in lower case.
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".tif", ".tiff", ".bmp")
_IMAGE_COLUMN = re.compile(r"(image|img|photo|picture|file)[_ ]?(path|name|file|id)?|path|filepath", re.IGNORECASE)
_CAPTION_COLUMN = re.compile(r"(captions?|text|description|sentences?|comment|raw)[_ ]?\d*", re.IGNORECASE)
_SPLIT_COLUMN = re.compile(r"split|subset|partition|set", re.IGNORECASE)
_NUM_PROBED_ROWS = 50
_MAX_PROBED_FOLDERS = 200
_NUM_REASONS = 4


@dataclass(frozen=True, slots=True)
class FolderFormat:
    """How a folder is to be read.

    Attributes:
        source: which source reads it.
        settings: what params.yaml says under `ingest.table` or `ingest.coco`, defaults left out.
        files: the caption files, relative to the folder.
        images: where the pictures lie, relative to the folder: a folder or a zip archive.
        remarks: what a person should know of the choices made.
        lies_in: where the pictures lie for a person to read, which differs from `images` when the captions name
            pictures with their folder.
    """

    source: Literal["table", "coco"]
    settings: Mapping[str, object]
    files: tuple[str, ...]
    images: str
    remarks: tuple[str, ...] = ()
    lies_in: str = ""

    def with_images(self, images: str) -> "FolderFormat":
        """Returns the same format with the pictures elsewhere."""
        return replace(self, images=images, settings={**self.settings, "images_folder": images})

    def ingest_params(self, *, path: str, name: str) -> IngestParams:
        """Returns the `ingest` section that reads such a folder at `path`."""
        return IngestParams.model_validate(
            {"source": self.source, "path": path, "name": name, self.source: dict(self.settings)}
        )


@dataclass(frozen=True, slots=True)
class Survey:
    """What a folder holds when it is read so.

    Attributes:
        split_counts: split -> number of images.
        num_captions: of all images.
        captions_per_image: None when it varies.
        rejections: captions without image, images without caption and the like.
        vocabulary_size: number of different words.
    """

    split_counts: Mapping[str, int]
    num_captions: int
    captions_per_image: int | None
    rejections: tuple[Rejection, ...]
    vocabulary_size: int

    @property
    def num_images(self) -> int:
        """How many images have captions."""
        return sum(self.split_counts.values())


def detect_format(folder: Path) -> FolderFormat:
    """Looks for COCO JSON, then for a table, and for the pictures that they name.

    Raises:
        SourceError: the folder is missing, or holds neither; the message says what was looked for and found.
    """
    if not folder.is_dir():
        raise SourceError(f"Expected a folder with pictures and captions at {folder}, found none.")
    reasons: list[str] = []
    found = _detect_coco(folder, reasons) or _detect_table(folder, reasons)
    if found is None:
        names = ", ".join(sorted(path.name for path in islice(folder.iterdir(), 12))) or "nothing"
        names += "".join(f"; {reason}" for reason in reasons[:_NUM_REASONS])
        raise SourceError(
            f"Expected in {folder} a CSV, TSV or JSONL file with a column of picture names (`image`) and one of "
            f"captions (`caption`), or COCO captions JSON, and the pictures beside it; found {names}. "
            "data/README.md says how to name other columns in params.yaml."
        )
    return found


def survey_folder(params: IngestParams, folder: Path) -> Survey:
    """Reads all captions of a folder and counts.

    Raises:
        SourceError: the folder cannot be read with these params, or none of its images has a caption.
    """
    source = open_source(params, folder)
    items = list(source.items())
    if not items:
        reasons = Counter(rejection.reason for rejection in source.rejections()).most_common(1)
        raise SourceError(f"No picture of {folder} has a caption. {reasons[0][0] if reasons else 'It is empty'}.")
    counts = {len(item.captions) for item in items}
    return Survey(
        split_counts=Counter(item.split for item in items),
        num_captions=sum(len(item.captions) for item in items),
        captions_per_image=counts.pop() if len(counts) == 1 else None,
        rejections=source.rejections(),
        vocabulary_size=len({token for item in items for caption in item.captions for token in metric_tokens(caption)}),
    )


def picture_files(folder: Path) -> dict[str, Path]:
    """Returns relative name -> file of all pictures under a folder."""
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in sorted(paths)}


def _detect_table(folder: Path, reasons: list[str]) -> FolderFormat | None:
    """The first file that is a table of captions; why the others are none is added to `reasons`."""
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() in _TABLE_SUFFIXES and path.is_file())
    for path in sorted(tables, key=lambda path: _TABLE_SUFFIXES.index(path.suffix.lower())):
        try:
            rows = _probe_rows(path)
            image, captions = _caption_columns(path, rows)
        except SourceError as error:
            reasons.append(str(error))
            continue
        names = [row[image] for row in rows]
        images = _find_images(folder, names)
        if images is None:
            reasons.append(f"none of the pictures that {path.name} names ({names[0]}, ...) is there")
            continue
        splits = [column for column in rows[0] if _SPLIT_COLUMN.fullmatch(column.strip())]
        split = next((column for column in splits if all(parse_split(row[column]) for row in rows)), None)
        settings = {"captions_file": path.name, "image_column": image, "caption_columns": captions}
        settings |= {"images_folder": images} | ({"split_column": split} if split else {})
        remarks = [] if split else ["no split column: images are split by a seed, 80/10/10"]
        left_out = [other.name for other in tables if other != path and _has_captions(other)]
        remarks += [f"not used: {', '.join(left_out)} (one table is read)"] if left_out else []
        return FolderFormat("table", settings, (path.name,), images, tuple(remarks), _lies_in(images, names))
    return None


def _has_captions(path: Path) -> bool:
    try:
        _caption_columns(path, _probe_rows(path))
    except SourceError:
        return False
    return True


def _caption_columns(path: Path, rows: Sequence[Mapping[str, str]]) -> tuple[str, list[str]]:
    """The column of picture names and those of captions; a SourceError names the columns when one is missing."""
    columns = list(rows[0])
    image = next((column for column in columns if _IMAGE_COLUMN.fullmatch(column.strip())), None)
    captions = [column for column in columns if _CAPTION_COLUMN.fullmatch(column.strip())]
    if (image is None or not captions) and len(columns) == 1 and ";" in columns[0]:
        separators = "tabs" if path.suffix.lower() == ".tsv" else "commas"
        raise SourceError(
            f"{path.name} has its columns separated by semicolons, expected {separators}: save it so, with captions "
            f"that hold {separators} in quotation marks"
        )
    if image is None or not captions:
        lacks = "picture names" if image is None else "captions"
        raise SourceError(f"{path.name} has no column of {lacks}, only {', '.join(columns[:8])[:200]}")
    return image, captions


def _probe_rows(path: Path) -> list[dict[str, str]]:
    """The first rows by column; a SourceError says why the file is no table."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() == ".jsonl":
                rows = [_json(line, f"line {i} of {path.name}") for i, line in _numbered(file) if line.strip()]
            else:
                reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
                rows = list(islice(reader, _NUM_PROBED_ROWS))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(_why_unreadable(path, error)) from error
    columns = set(rows[0]) if rows and isinstance(rows[0], dict) else set()
    rows = [row for row in rows if isinstance(row, dict) and columns <= set(row)]
    if not rows:
        raise SourceError(f"{path.name} has no rows with columns")
    return [{str(column): str(cell) for column, cell in row.items() if column is not None} for row in rows]


def _numbered(lines: Iterable[str]) -> Iterable[tuple[int, str]]:
    return enumerate(islice(lines, _NUM_PROBED_ROWS), start=1)


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise SourceError(f"{what} is no JSON: {error}") from error


def _why_unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"{path.name} is not in UTF-8 (byte {error.object[error.start]:#04x}): save it as UTF-8"
    return f"{path.name} cannot be read: {error}"


def _detect_coco(folder: Path, reasons: list[str]) -> FolderFormat | None:
    """The files of COCO captions; why others are none is added to `reasons`."""
    by_split: dict[str, str] = {}
    image_names: list[str] = []
    for path in sorted([*folder.glob("*.json"), *folder.glob("annotations/*.json")]):
        try:
            names = _coco_image_names(path)
        except SourceError as error:
            reasons.append(str(error))
            continue
        if names:
            by_split.setdefault(_split_of_file(path), path.relative_to(folder).as_posix())
            image_names += names[:_NUM_PROBED_ROWS]
    images = _find_images(folder, image_names, by_last_part=True) if by_split else None
    if images is None:
        if image_names:
            reasons.append(f"none of the pictures that the JSON names ({image_names[0]}, ...) is there")
        return None
    lies_in = _lies_in(images, image_names)
    main = by_split.get("train") or next(iter(by_split.values()))
    settings: dict[str, object] = {"train_file": main, "images_folder": images}
    if {"train", "dev", "test"} <= set(by_split):
        settings |= {"dev_file": by_split["dev"], "test_file": by_split["test"]}
        return FolderFormat("coco", settings, tuple(sorted(by_split.values())), images, (), lies_in)
    left_out = [file for file in by_split.values() if file != main]
    remarks = [f"{main} is split by a seed, 80/10/10"]
    remarks += [f"not used: {', '.join(left_out)} (a train, a dev and a test file are needed)"] if left_out else []
    return FolderFormat("coco", settings, (main,), images, tuple(remarks), lies_in)


def _split_of_file(path: Path) -> str:
    words = re.split(r"[^a-z]+", path.stem.lower())
    return next((split for word in words if (split := parse_split(word))), path.stem)


def _coco_image_names(path: Path) -> list[str]:
    """The pictures that a file of COCO captions names; a SourceError says why it is none."""
    try:
        content = _json(path.read_text(encoding="utf-8-sig"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(_why_unreadable(path, error)) from error
    try:
        has_captions = any("caption" in entry for entry in content["annotations"][:1])
        names = [str(image["file_name"]) for image in content["images"]] if has_captions else []
    except (KeyError, TypeError):
        names = []
    if not names:
        raise SourceError(f"{path.name} has no `images` with `file_name` and `annotations` with `caption`")
    return names


def _find_images(folder: Path, names: Iterable[str], *, by_last_part: bool = False) -> str | None:
    """The folder or zip archive, relative to `folder`, where most of these pictures lie; None when none does."""
    wanted = list(dict.fromkeys(names))[:_NUM_PROBED_ROWS]
    nested = (path for path in folder.rglob("*") if path.is_dir() or path.suffix.lower() == ".zip")
    places = [folder, *sorted(islice(nested, _MAX_PROBED_FOLDERS), key=lambda path: (len(path.parts), path))]
    counts = [(sum(map(_holder(place, by_last_part=by_last_part), wanted)), place) for place in places]
    best, place = max(counts, key=lambda count: count[0])
    return place.relative_to(folder).as_posix() if best else None


def _lies_in(images: str, names: Iterable[str]) -> str:
    """Where pictures lie whose names may begin with a folder."""
    folders = {(PurePosixPath(images) / name).parent.as_posix() for name in islice(names, _NUM_PROBED_ROWS)}
    return folders.pop() if len(folders) == 1 else images


def _holder(place: Path, *, by_last_part: bool) -> Callable[[str], bool]:
    if place.is_dir():
        return lambda name: (place / name).is_file()
    from captiongen.data.archives import list_members

    members = set(list_members(place))
    members |= {PurePosixPath(member).name for member in members} if by_last_part else set()
    return lambda name: name in members
