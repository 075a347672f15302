"""Brings Flickr8k's two official archives into a folder: from the network, or from a folder that has them."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from captiongen.data.archives import check_archive, holds, list_members, stored_archive
from captiongen.data.download import PART_SUFFIX, download_archive
from captiongen.data.sources.flickr8k import (
    CAPTIONS_FILE,
    IMAGES_ARCHIVE,
    IMAGES_FOLDERS,
    TEXT_ARCHIVE,
    TEXT_FILES,
    TEXT_FOLDERS,
)
from captiongen.errors import DownloadError, SourceError
from captiongen.files import atomic_file, clear_leftovers

#: Release assets of github.com/jbrownlee/Datasets, the copy that everybody uses since the authors' form went away.
BASE_URL = "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k"


def download_flickr8k(folder: Path, *, base_url: str = BASE_URL) -> None:
    """Downloads what is missing of the two archives (1.1 GB) into `folder`; what killed processes left there goes.

    Raises:
        DownloadError: the server cannot be reached, or an archive is damaged or holds something else.
    """
    for name in (TEXT_ARCHIVE, IMAGES_ARCHIVE):
        clear_leftovers(folder / name)
        if (folder / name).is_file():
            _forget_download(folder / name)
            continue
        try:
            download_archive(f"{base_url}/{name}", folder / name)
        except DownloadError as error:
            raise DownloadError(
                f"{error} On a machine without network: `captiongen fetch flickr8k --from DIR`, where DIR holds "
                f"{IMAGES_ARCHIVE} and {TEXT_ARCHIVE}, or what they unpack to."
            ) from error
        try:
            _require_content(name, list_members(folder / name))
        except DownloadError:
            (folder / name).unlink()
            raise


def import_flickr8k(source: Path, folder: Path) -> None:
    """Copies the two archives from `source` into `folder`; what they unpack to is packed again.

    Archives that `folder` already has are left as they are when their members are the same. What killed processes left
    there goes: DVC would record it as data.

    Raises:
        SourceError: `source` has neither the archives nor the unpacked folders.
        DownloadError: an archive is damaged.
    """
    members = {IMAGES_ARCHIVE: _find_images, TEXT_ARCHIVE: _find_texts}
    for name, find_unpacked in members.items():
        target = folder / name
        clear_leftovers(target)
        if (source / name).is_file():
            _copy_archive(source / name, target)
            _forget_download(target)
            continue
        files = find_unpacked(source)
        if not files:
            raise SourceError(
                f"Expected {IMAGES_ARCHIVE} and {TEXT_ARCHIVE} in {source}, or the folder {IMAGES_FOLDERS[0]} and "
                f"{CAPTIONS_FILE} that they unpack to; found neither {name} nor its content."
            )
        _pack(files, target)
        _forget_download(target)


def _copy_archive(source: Path, target: Path) -> None:
    if target.is_file() and list_members(source) == list_members(target):
        return
    check_archive(source)
    _require_content(target.name, list_members(source))
    with atomic_file(target) as part:
        shutil.copyfile(source, part)


def _pack(files: Mapping[str, Path], target: Path) -> None:
    if holds(target, files):
        return
    _require_content(target.name, files)
    with stored_archive(target) as add:
        for name, path in tqdm(sorted(files.items()), desc=target.stem, unit="file", disable=None):
            add(name, path.read_bytes())


def _forget_download(archive: Path) -> None:
    """Removes the beginning of a download that is no longer needed."""
    archive.with_name(f"{archive.name}{PART_SUFFIX}").unlink(missing_ok=True)


def _find_images(source: Path) -> dict[str, Path]:
    """Member name -> file of the unpacked pictures; some unpackers add a folder named after the archive."""
    for folder in (source / name for name in IMAGES_FOLDERS):
        pictures = sorted(folder.glob("*.jpg")) if folder.is_dir() else []
        if pictures:
            return {f"{IMAGES_FOLDERS[0]}/{path.name}": path for path in pictures}
    return {}


def _find_texts(source: Path) -> dict[str, Path]:
    for folder in (source / name for name in TEXT_FOLDERS):
        if (folder / CAPTIONS_FILE).is_file():
            return {path.name: path for path in folder.iterdir() if path.suffix == ".txt"}
    return {}


def _require_content(archive: str, members: Iterable[str]) -> None:
    """Refuses the members of an archive that is intact but not Flickr8k's."""
    names = {PurePosixPath(member).name for member in members}
    missing = [file for file in TEXT_FILES if file not in names] if archive == TEXT_ARCHIVE else []
    if archive == IMAGES_ARCHIVE and not any(name.endswith(".jpg") for name in names):
        missing = ["*.jpg"]
    if missing:
        raise DownloadError(f"Expected {', '.join(missing)} in {archive}, found {len(names)} other files.")
