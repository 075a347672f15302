"""Any captions file beside any folder or archive of pictures, read by the parsers of the full data sets."""

from pathlib import Path

from captiongen.data.sources import Source
from captiongen.data.sources.coco import CocoSource
from captiongen.data.sources.flickr8k import token_lines
from captiongen.data.sources.listing import ListedSource, gather
from captiongen.data.sources.stores import PathFinder, open_store
from captiongen.data.sources.table import TableSource
from captiongen.errors import SourceError
from captiongen.params import CocoParams, IngestParams, TableParams

_COCO_SUFFIX, _TABLE_SUFFIXES, _TOKEN_SUFFIXES = ".json", (".csv", ".tsv", ".jsonl"), (".txt", ".token")


def open_captions(captions: Path, images: Path, *, columns: TableParams | None = None) -> Source:
    """Opens a captions file and its pictures as one source; splits are not looked at.

    Args:
        captions: COCO captions (.json), a table (.csv, .tsv, .jsonl), or Flickr8k's token format (.txt, .token).
        images: a folder or zip archive of pictures; those of COCO and token files may lie in sub-folders.
        columns: names of a table's columns; `image` and `caption` by default.

    Raises:
        SourceError: a file is missing or of another format.
    """
    suffix = captions.suffix.lower()
    # Absolute paths stand for themselves where a source joins them to its folder.
    file, folder = str(captions.absolute()), str(images.absolute())
    if suffix == _COCO_SUFFIX:
        coco = CocoParams(train_file=file, images_folder=folder)
        return CocoSource(IngestParams(source="coco", path=folder, name=captions.stem, coco=coco), images)
    if suffix in _TABLE_SUFFIXES:
        update = {"captions_file": file, "images_folder": folder, "split_column": None}
        table = (columns or TableParams()).model_copy(update=update)
        return TableSource(IngestParams(source="table", path=folder, name=captions.stem, table=table), images)
    if suffix in _TOKEN_SUFFIXES:
        return _TokenSource(captions, images)
    raise SourceError(
        "Expected captions as .json (COCO), .csv, .tsv, .jsonl (table) or .txt, .token (Flickr8k), "
        f"found {captions.name}."
    )


class _TokenSource(ListedSource):
    """A captions file in Flickr8k's token format."""

    def __init__(self, captions: Path, images: Path) -> None:
        try:
            text = captions.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(f"Expected UTF-8 captions at {captions}, could not read them: {error}.") from error
        store = open_store(images)
        lines = token_lines(text, captions.name, find=PathFinder(store).find)
        super().__init__(captions.stem, store, gather(lines, store=store, split_of=lambda _: "unused"))
