"""Flickr8k from its archives and from their unpacked folders."""

from pathlib import Path

import pytest

from captiongen.data.sources import Source, open_source
from captiongen.errors import SourceError
from captiongen.params import IngestParams
from tests.datasets import flickr8k_files, write_files, write_zip

_PARAMS = IngestParams(source="flickr8k", path="", name="flickr8k")


def _open(folder: Path, layout: str, images: dict[str, bytes], texts: dict[str, bytes]) -> Source:
    match layout:
        case "archives":
            write_zip(folder / "Flickr8k_Dataset.zip", {**images, "__MACOSX/Flicker8k_Dataset/._1000_ab.jpg": b"junk"})
            write_zip(folder / "Flickr8k_text.zip", texts)
        case "unpacked beside each other":
            write_files(folder, {**images, **texts})
        case "unpacked into folders":
            write_files(folder / "Flickr8k_Dataset", images)
            write_files(folder / "Flickr8k_text", texts)
    return open_source(_PARAMS, folder)


@pytest.mark.parametrize("layout", ["archives", "unpacked beside each other", "unpacked into folders"])
def test_every_layout_gives_the_same_data_set(tmp_path: Path, layout: str):
    """Official splits, five captions an image, images in no list unused, and bytes that read."""
    images, texts = flickr8k_files()
    source = _open(tmp_path, layout, images, texts)
    items = list(source.items())
    assert [(item.image_id, item.split) for item in items] == [
        ("1000_ab.jpg", "train"),
        ("1001_ab.jpg", "train"),
        ("1002_ab.jpg", "train"),
        ("1003_ab.jpg", "dev"),
        ("1004_ab.jpg", "test"),
        ("1005_ab.jpg", "unused"),
    ]
    assert items[0].captions == tuple(f"A dog runs , {k} ." for k in range(5))
    assert [source.read(item.path) for item in items] == list(images.values())


def test_captions_without_image_are_rejected(tmp_path: Path):
    """The orphan id of the official release is found, with all its captions."""
    source = _open(tmp_path, "archives", *flickr8k_files())
    (rejection,) = source.rejections()
    assert rejection.image_id == "2258_ab.jpg.1"
    assert "missing" in rejection.reason
    assert len(rejection.captions) == 5


def test_malformed_lines_are_rejected_by_number(tmp_path: Path):
    """A line without number or tab is named and kept; blank lines and Windows line ends are no fault."""
    images, texts = flickr8k_files()
    lines = texts["Flickr8k.token.txt"].split(b"\n")
    lines[1] = b"1000_ab.jpg A dog without number"
    texts["Flickr8k.token.txt"] = b"\r\n".join(lines) + b"\r\n"
    source = _open(tmp_path, "archives", images, texts)
    malformed = [rejection for rejection in source.rejections() if not rejection.image_id]
    assert [(rejection.captions, "line 2" in rejection.reason) for rejection in malformed] == [
        (("1000_ab.jpg A dog without number\r",), True)
    ]
    assert len(next(source.items()).captions) == 4


def test_images_without_caption_and_listed_images_without_file_are_rejected(tmp_path: Path):
    """Neither an uncaptioned picture nor a name that only a split list knows disappears."""
    images, texts = flickr8k_files()
    images["Flicker8k_Dataset/9_ab.jpg"] = b"x"
    texts["Flickr_8k.devImages.txt"] += b"\n8_ab.jpg\n"
    reasons = {r.image_id: r.reason for r in _open(tmp_path, "archives", images, texts).rejections()}
    assert "no caption" in reasons["9_ab.jpg"]
    assert "missing" in reasons["8_ab.jpg"]


def test_an_image_in_two_splits_is_rejected(tmp_path: Path):
    """A leak between split lists stops at the door."""
    images, texts = flickr8k_files()
    texts["Flickr_8k.testImages.txt"] += b"\n1000_ab.jpg\n"
    reasons = {r.image_id: r.reason for r in _open(tmp_path, "archives", images, texts).rejections()}
    assert reasons["1000_ab.jpg"] == "listed in several splits: test, train"


@pytest.mark.parametrize("missing", ["Flickr8k_Dataset.zip", "Flickr8k_text.zip"])
def test_missing_archives_say_how_to_fetch_them(tmp_path: Path, missing: str):
    """The message names the archive and the command."""
    images, texts = flickr8k_files()
    _open(tmp_path, "archives", images, texts)
    (tmp_path / missing).unlink()
    with pytest.raises(SourceError, match=rf"{missing}.*captiongen fetch flickr8k"):
        open_source(_PARAMS, tmp_path)


def test_missing_and_broken_texts_are_refused(tmp_path: Path):
    """A text archive without split lists, or in another encoding, is no Flickr8k."""
    images, texts = flickr8k_files()
    broken = {**texts, "Flickr8k.token.txt": "1000_ab.jpg#0\tcaf\u00e9".encode("latin-1")}
    (tmp_path / "a").mkdir()
    with pytest.raises(SourceError, match="no UTF-8"):
        _open(tmp_path / "a", "archives", images, broken)
    del texts["Flickr_8k.devImages.txt"]
    (tmp_path / "b").mkdir()
    with pytest.raises(SourceError, match="devImages"):
        _open(tmp_path / "b", "archives", images, texts)


def test_a_missing_folder_is_refused(tmp_path: Path):
    """A data set that was never fetched is one clear line."""
    with pytest.raises(SourceError, match="found no folder"):
        open_source(_PARAMS, tmp_path / "nowhere")
