"""Brings Flickr8k's two official archives into a folder: from the network, or from a folder that has them."""

import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from captiongen.data.archives import check_archive, holds, list_members, stored_archive
from captiongen.data.download import download_archive
from captiongen.errors import DownloadError, SourceError
from captiongen.files import sync_folder

#: Release assets of github.com/jbrownlee/Datasets, the copy that everybody uses since the authors' form went away.
BASE_URL = "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k"
IMAGES_ARCHIVE = "Flickr8k_Dataset.zip"
TEXT_ARCHIVE = "Flickr8k_text.zip"

_IMAGES_FOLDER = "Flicker8k_Dataset"  # so misspelt in the official archive
_TEXT_FILES = (
    "Flickr8k.token.txt",
    "Flickr_8k.trainImages.txt",
    "Flickr_8k.devImages.txt",
    "Flickr_8k.testImages.txt",
)


def has_flickr8k(folder: Path) -> bool:
    """Tells whether both archives lie in `folder`."""
    return (folder / IMAGES_ARCHIVE).is_file() and (folder / TEXT_ARCHIVE).is_file()


def download_flickr8k(folder: Path, *, base_url: str = BASE_URL) -> None:
    """Downloads what is missing of the two archives (1.1 GB) into `folder`.

    Raises:
        DownloadError: the server cannot be reached, or an archive is damaged or holds something else.
    """
    for name in (TEXT_ARCHIVE, IMAGES_ARCHIVE):
        if (folder / name).is_file():
            continue
        try:
            download_archive(f"{base_url}/{name}", folder / name)
        except DownloadError as error:
            raise DownloadError(
                f"{error} On a machine without network: `captiongen fetch flickr8k --from DIR`, where DIR holds "
                f"{IMAGES_ARCHIVE} and {TEXT_ARCHIVE}, or what they unpack to."
            ) from error
        _check_content(folder / name)


def import_flickr8k(source: Path, folder: Path) -> None:
    """Copies the two archives from `source` into `folder`; what they unpack to is packed again.

    Archives that `folder` already has are left as they are when their members are the same.

    Raises:
        SourceError: `source` has neither the archives nor the unpacked folders.
        DownloadError: an archive is damaged.
    """
    members = {IMAGES_ARCHIVE: _find_images, TEXT_ARCHIVE: _find_texts}
    for name, find_unpacked in members.items():
        target = folder / name
        if (source / name).is_file():
            _copy_archive(source / name, target)
            continue
        files = find_unpacked(source)
        if not files:
            raise SourceError(
                f"Expected {IMAGES_ARCHIVE} and {TEXT_ARCHIVE} in {source}, or the folder {_IMAGES_FOLDER} and "
                f"{_TEXT_FILES[0]} that they unpack to; found neither {name} nor its content."
            )
        _pack(files, target)


def _copy_archive(source: Path, target: Path) -> None:
    if target.is_file() and list_members(source) == list_members(target):
        return
    check_archive(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    shutil.copyfile(source, part)
    _check_content(part, target.name)
    part.replace(target)
    sync_folder(target.parent)


def _pack(files: Mapping[str, Path], target: Path) -> None:
    if holds(target, files):
        return
    with stored_archive(target) as add:
        for name, path in tqdm(sorted(files.items()), desc=target.stem, unit="file", disable=None):
            add(name, path.read_bytes())
    _check_content(target)


def _find_images(source: Path) -> dict[str, Path]:
    """Member name -> file of the unpacked pictures; some unpackers add a folder named after the archive."""
    for folder in (source / _IMAGES_FOLDER, source / "Flickr8k_Dataset" / _IMAGES_FOLDER, source / "Flickr8k_Dataset"):
        pictures = sorted(folder.glob("*.jpg")) if folder.is_dir() else []
        if pictures:
            return {f"{_IMAGES_FOLDER}/{path.name}": path for path in pictures}
    return {}


def _find_texts(source: Path) -> dict[str, Path]:
    for folder in (source, source / "Flickr8k_text"):
        if (folder / _TEXT_FILES[0]).is_file():
            return {path.name: path for path in folder.iterdir() if path.suffix == ".txt"}
    return {}


def _check_content(path: Path, name: str | None = None) -> None:
    """Refuses, and removes, an archive that is intact but not Flickr8k's."""
    wanted = name or path.name
    names = {PurePosixPath(member).name for member in list_members(path)}
    missing = [file for file in _TEXT_FILES if file not in names] if wanted == TEXT_ARCHIVE else []
    if wanted == IMAGES_ARCHIVE and not any(member.endswith(".jpg") for member in names):
        missing = ["*.jpg"]
    if missing:
        path.unlink()
        raise DownloadError(f"Expected {', '.join(missing)} in {wanted}, found {len(names)} other files.")
