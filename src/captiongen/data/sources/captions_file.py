"""Any captions file beside any folder or archive of pictures, read by the parsers of the full data sets."""

from pathlib import Path

from captiongen.data.sources import Source
from captiongen.data.sources.coco import CocoSource
from captiongen.data.sources.flickr8k import token_lines
from captiongen.data.sources.listing import ListedSource, gather
from captiongen.data.sources.stores import PathFinder, Store, UnseenStore, open_store
from captiongen.data.sources.table import TableSource
from captiongen.errors import SourceError
from captiongen.params import CocoParams, IngestParams, TableParams

_COCO_SUFFIX, _TABLE_SUFFIXES, _TOKEN_SUFFIXES = ".json", (".csv", ".tsv", ".jsonl"), (".txt", ".token")


def open_captions(captions: Path, images: Path | None, *, columns: TableParams | None = None) -> Source:
    """Opens a captions file and its pictures as one source; splits are not looked at.

    Args:
        captions: COCO captions (.json), a table (.csv, .tsv, .jsonl), or Flickr8k's token format (.txt, .token).
        images: a folder or zip archive of pictures; those of COCO and token files may lie in sub-folders. None where
            no picture will be read: then all are taken to be there.
        columns: names of a table's columns; `image` and `caption` by default.

    Raises:
        SourceError: a file is missing or of another format.
    """
    suffix = captions.suffix.lower()
    # Absolute paths stand for themselves where a source joins them to its folder.
    store = UnseenStore() if images is None else open_store(images)
    file, folder = str(captions.absolute()), captions.absolute().parent
    if suffix == _COCO_SUFFIX:
        coco = CocoParams(train_file=file)
        params = IngestParams(source="coco", path=str(folder), name=captions.stem, coco=coco)
        return CocoSource(params, folder, store=store)
    if suffix in _TABLE_SUFFIXES:
        table = (columns or TableParams()).model_copy(update={"captions_file": file, "split_column": None})
        params = IngestParams(source="table", path=str(folder), name=captions.stem, table=table)
        return TableSource(params, folder, store=store)
    if suffix in _TOKEN_SUFFIXES:
        return _TokenSource(captions, store)
    raise SourceError(
        "Expected captions as .json (COCO), .csv, .tsv, .jsonl (table) or .txt, .token (Flickr8k), "
        f"found {captions.name}."
    )


class _TokenSource(ListedSource):
    """A captions file in Flickr8k's token format."""

    def __init__(self, captions: Path, store: Store) -> None:
        try:
            text = captions.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(f"Expected UTF-8 captions at {captions}, could not read them: {error}.") from error
        lines = token_lines(text, captions.name, find=PathFinder(store).find)
        super().__init__(captions.stem, store, gather(lines, store=store, split_of=lambda _: "unused"))
