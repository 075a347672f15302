"""Flickr8k (Hodosh, Young and Hockenmaier, 2013): the official archives, or the folders they unpack to."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from captiongen.data.sources.listing import Annotation, ListedSource, gather
from captiongen.data.sources.stores import FolderStore, Store, ZipStore
from captiongen.errors import SourceError
from captiongen.params import IngestParams
from captiongen.types import Rejection, Split

IMAGES_ARCHIVE = "Flickr8k_Dataset.zip"
TEXT_ARCHIVE = "Flickr8k_text.zip"
#: What the archives unpack to, the first as packed (so misspelt in the official archive); some unpackers add a folder
#: named after the archive.
IMAGES_FOLDERS = ("Flicker8k_Dataset", "Flickr8k_Dataset/Flicker8k_Dataset", "Flickr8k_Dataset")
TEXT_FOLDERS = ("Flickr8k_text", ".")
CAPTIONS_FILE = "Flickr8k.token.txt"
_SPLIT_FILES: tuple[tuple[Split, str], ...] = (
    ("train", "Flickr_8k.trainImages.txt"),
    ("dev", "Flickr_8k.devImages.txt"),
    ("test", "Flickr_8k.testImages.txt"),
)
#: All that must be in the text archive.
TEXT_FILES = (CAPTIONS_FILE, *(file for _, file in _SPLIT_FILES))
_LINE = re.compile(r"(?P<image>[^#\t]+)#\d+\t(?P<caption>.*)")


class Flickr8kSource(ListedSource):
    """The official splits; images that no list names are `unused`, image ids are the file names."""

    def __init__(self, params: IngestParams, folder: Path) -> None:
        images = _open(folder, IMAGES_ARCHIVE, IMAGES_FOLDERS)
        texts = _open(folder, TEXT_ARCHIVE, TEXT_FOLDERS)
        listing = gather(_lines(images, texts), store=images, split_of=lambda _: "unused")
        super().__init__(params.name, images, listing)


def _lines(images: Store, texts: Store) -> Iterator[Annotation | Rejection]:
    paths: dict[str, str] = {}
    for path in images.names():
        if path.lower().endswith(".jpg"):
            name = PurePosixPath(path).name
            paths[name] = path
            yield Annotation(name, path)
    for split, file in _SPLIT_FILES:
        for name in _read_text(texts, file).split():
            yield Annotation(name, paths.get(name, name), split=split)
    yield from token_lines(_read_text(texts, CAPTIONS_FILE), CAPTIONS_FILE, find=lambda name: paths.get(name, name))


def token_lines(text: str, file_name: str, *, find: Callable[[str], str]) -> Iterator[Annotation | Rejection]:
    """Reads captions in Flickr8k's token format, `image#number<tab>caption` on each line.

    Args:
        text: content of the captions file.
        file_name: how rejections name it.
        find: image name -> its name in the store.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if match := _LINE.fullmatch(line.rstrip("\r")):
            yield Annotation(match["image"], find(match["image"]), (match["caption"].strip(),))
        elif line.strip():
            reason = f"{file_name} line {number}: expected `image#number<tab>caption`"
            yield Rejection(image_id="", path="", reason=reason, captions=(line,))


def _open(folder: Path, archive: str, unpacked: tuple[str, ...]) -> Store:
    if (folder / archive).is_file():
        return ZipStore(folder / archive)
    for name in unpacked:
        candidate = folder / name
        if candidate.is_dir() and (name != "." or (candidate / CAPTIONS_FILE).is_file()):
            return FolderStore(candidate)
    raise SourceError(
        f"Expected {archive} or its unpacked folder {unpacked[0]}/ in {folder}, found neither. "
        "Run `captiongen fetch flickr8k`, with `--from DIR` where the archives are at hand."
    )


def _read_text(texts: Store, name: str) -> str:
    member = next((candidate for candidate in texts.names() if PurePosixPath(candidate).name == name), None)
    if member is None:
        raise SourceError(f"Expected {name} in the Flickr8k text archive, found none. Fetch it again.")
    try:
        return texts.read(member).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{name} is no UTF-8 text ({error}). Fetch it again.") from error
