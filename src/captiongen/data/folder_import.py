"""Copies a folder of one's own into the project: the caption files as they are, the pictures in one archive."""

import shutil
from pathlib import Path

from tqdm import tqdm

from captiongen.data.archives import holds, list_members, stored_archive
from captiongen.data.folder_format import FolderFormat, picture_files
from captiongen.errors import SourceError
from captiongen.files import atomic_folder

#: Thousands of small files make DVC slow; one archive does not, and the sources read it as it is.
IMAGES_ARCHIVE = "images.zip"


def import_folder(source: Path, target: Path, found: FolderFormat) -> None:
    """Copies what `found` names from `source` to `target`, which then reads as `imported_format(found)`.

    A `target` that holds the same already is left untouched.

    Raises:
        SourceError: a file cannot be read.
    """
    pictures = source / found.images
    files = {} if pictures.is_file() else picture_files(pictures)
    try:
        if _is_imported(source, target, found, files):
            return
        with atomic_folder(target) as temporary:
            for name in found.files:
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / name, temporary / name)
            if pictures.is_file():
                shutil.copyfile(pictures, temporary / IMAGES_ARCHIVE)
            else:
                with stored_archive(temporary / IMAGES_ARCHIVE) as add:
                    for name, path in tqdm(files.items(), desc="packing pictures", unit="image", disable=None):
                        add(name, path.read_bytes())
    except OSError as error:
        raise SourceError(f"{source} cannot be copied: {error.strerror} ({error.filename}).") from error


def imported_format(found: FolderFormat) -> FolderFormat:
    """Returns how an imported folder is read: as before, with the pictures in `IMAGES_ARCHIVE`."""
    return found.with_images(IMAGES_ARCHIVE)


def _is_imported(source: Path, target: Path, found: FolderFormat, files: dict[str, Path]) -> bool:
    """Compares caption files by their bytes, and pictures by their names and contents."""
    archive = target / IMAGES_ARCHIVE
    if not archive.is_file() or any(
        not (target / name).is_file() or (target / name).read_bytes() != (source / name).read_bytes()
        for name in found.files
    ):
        return False
    return holds(archive, files) if files else list_members(archive) == list_members(source / found.images)
