"""The embedded sample data set as a source."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

from captiongen.data.scenes.dataset import read_captions
from captiongen.errors import SourceError
from captiongen.types import Rejection, SourceItem


class ScenesSource:
    """Reads what `captiongen fetch scenes` rendered; image paths are members of images.zip."""

    name = "scenes"

    def __init__(self, folder: Path) -> None:
        self._rows = read_captions(folder)
        try:
            self._archive = zipfile.ZipFile(folder / "images.zip")
        except (OSError, zipfile.BadZipFile) as error:
            raise SourceError(
                f"{folder / 'images.zip'} cannot be read ({error}). Run `captiongen fetch scenes` again."
            ) from error

    def items(self) -> Iterator[SourceItem]:
        """Lists the pictures, in the order of captions.jsonl."""
        for row in self._rows:
            yield SourceItem(row.image_id, f"{row.image_id}.jpg", row.captions, row.split)

    def rejections(self) -> tuple[Rejection, ...]:
        """Nothing: every caption was written for a picture."""
        return ()

    def read(self, path: str) -> bytes:
        """Returns a picture's JPEG bytes.

        Raises:
            SourceError: images.zip has no such member, or it is damaged.
        """
        try:
            return self._archive.read(path)
        except (KeyError, OSError, zipfile.BadZipFile) as error:
            raise SourceError(
                f"images.zip: {path} cannot be read ({error}). Run `captiongen fetch scenes` again."
            ) from error


def open_scenes(folder: Path) -> ScenesSource:
    """Opens the sample data set in `folder`.

    Raises:
        SourceError: a file is missing or damaged.
    """
    return ScenesSource(folder)
