"""Pictures without captions, in a folder or a zip archive: all of them can be read, or none is used."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from captiongen.data.folder_format import PICTURE_SUFFIXES
from captiongen.data.images import decode_image, prepare
from captiongen.data.sources.stores import Store, open_store
from captiongen.errors import DataError, ImageDecodeError
from captiongen.params import UnlabelledParams
from captiongen.types import ImageArray, Preprocessing


@dataclass(frozen=True, slots=True)
class UnlabelledPictures:
    """Pictures by name, in the order of their names.

    Attributes:
        path: the folder or archive.
        names: of the pictures in it.
        sha256: over names and bytes.
    """

    path: Path
    names: tuple[str, ...]
    sha256: str
    _store: Store

    def prepared(self, preprocessing: Preprocessing) -> Iterator[ImageArray]:
        """Yields each picture as the model sees it.

        Raises:
            DataError: one cannot be decoded.
        """
        for name in self.names:
            try:
                yield prepare(decode_image(self._store.read(name)), preprocessing)
            except ImageDecodeError as error:
                raise DataError(f"{name} of the unlabelled pictures in {self.path}: {error} Or remove it.") from error


def open_unlabelled(params: UnlabelledParams) -> UnlabelledPictures:
    """Opens unlabelled pictures, after comparing their names and bytes with the recorded hash.

    Raises:
        SourceError: there is no such folder or archive.
        DataError: there are no pictures, or other ones.
    """
    path = Path(params.path)
    store = open_store(path)
    names = tuple(name for name in store.names() if PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES)
    if not names:
        raise DataError(f"Expected pictures ({', '.join(PICTURE_SUFFIXES)}) in {path}, found none.")
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\0{hashlib.sha256(store.read(name)).hexdigest()}\n".encode())
    if (found := digest.hexdigest()) != params.sha256:
        raise DataError(
            f"unlabelled: expected pictures with sha256 {params.sha256} in {path}, found {len(names):,} with {found}. "
            "Restore them, or write this hash into params.yaml."
        )
    return UnlabelledPictures(path, names, found, store)
