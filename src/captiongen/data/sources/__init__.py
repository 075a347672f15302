"""Data sets behind one small interface: `open_source(params, folder)`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from captiongen.errors import SourceError
from captiongen.params import IngestParams
from captiongen.types import Rejection, SourceItem


class Source(Protocol):
    """A captioned image set. Every image and caption it holds is in `items` or, with a reason, in `rejections`."""

    @property
    def name(self) -> str:
        """The data set's name in cards, tags and reports."""

    def items(self) -> Iterator[SourceItem]:
        """Yields images that have captions and whose file is there; nothing is read from the pictures yet."""

    def rejections(self) -> tuple[Rejection, ...]:
        """Returns what does not go on: captions without image, images without caption, malformed lines."""

    def read(self, path: str) -> bytes:
        """Returns the bytes of a picture; safe to call from several threads.

        Raises:
            SourceError: the file is missing, unreadable, or larger than any picture should be.
        """


def need_folder(params: IngestParams, folder: Path) -> None:
    """Refuses to go on without the folder of the data set.

    Raises:
        SourceError: it is not there; the message says how to get it.
    """
    if not folder.is_dir():
        raise SourceError(
            f"Expected the data set {params.name} in {folder}, found no folder there. Run `captiongen fetch`, "
            "`dvc pull`, or correct ingest.path in params.yaml; then `dvc repro`."
        )


def open_source(params: IngestParams, folder: Path) -> Source:
    """Opens the data set that `params` name, which lies in `folder`.

    Raises:
        SourceError: the folder or a file that the source needs is missing or of another format.
    """
    need_folder(params, folder)
    match params.source:
        case "scenes":
            from captiongen.data.sources.scenes import ScenesSource

            return ScenesSource(folder)
        case "flickr8k":
            from captiongen.data.sources.flickr8k import Flickr8kSource

            return Flickr8kSource(params, folder)
        case "coco":
            from captiongen.data.sources.coco import CocoSource

            return CocoSource(params, folder)
        case "table":
            from captiongen.data.sources.table import TableSource

            return TableSource(params, folder)
