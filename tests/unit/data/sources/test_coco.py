"""COCO captions."""

from pathlib import Path

import pytest

from captiongen.data.sources import open_source
from captiongen.errors import SourceError
from captiongen.params import CocoParams, IngestParams
from tests.datasets import coco_json, write_files, write_zip


def _params(**coco: str | None) -> IngestParams:
    return IngestParams(source="coco", path="", name="coco", coco=CocoParams(train_file="train.json", **coco))


def _splits(folder: Path, params: IngestParams) -> dict[str, str]:
    return {item.image_id: item.split for item in open_source(params, folder).items()}


def test_one_file_per_split(tmp_path: Path):
    """Each file is a split; image ids are COCO's numbers; captions keep their order."""
    write_files(tmp_path, {f"images/{k}.jpg": bytes([k]) for k in (1, 2, 3)})
    files = {"train.json": (1, "1.jpg"), "dev.json": (2, "2.jpg"), "test.json": (3, "3.jpg")}
    for name, (image_id, file) in files.items():
        content = coco_json({image_id: file}, [(image_id, " A dog. "), (image_id, "Two dogs.")])
        write_files(tmp_path, {name: content})
    params = _params(dev_file="dev.json", test_file="test.json")
    assert _splits(tmp_path, params) == {"1": "train", "2": "dev", "3": "test"}
    source = open_source(params, tmp_path)
    item = next(source.items())
    assert item.captions == ("A dog.", "Two dogs.")
    assert source.read(item.path) == b"\x01"
    assert source.rejections() == ()


def test_one_file_is_split_by_image(tmp_path: Path):
    """Without dev and test files images are drawn by the seed, whatever their order in the file."""
    numbers = list(range(100))
    write_files(tmp_path, {f"images/{k}.jpg": b"" for k in numbers})
    drawn = []
    for order in (numbers, numbers[::-1]):
        content = coco_json({k: f"{k}.jpg" for k in order}, [(k, "A dog.") for k in order])
        write_files(tmp_path, {"train.json": content})
        drawn.append(_splits(tmp_path, _params()))
    assert drawn[0] == drawn[1]
    assert set(drawn[0].values()) == {"train", "dev", "test"}


def test_pictures_are_found_in_sub_folders_and_archives(tmp_path: Path):
    """`file_name` without the folder that a release unpacks to still finds its picture, in a folder and in a zip."""
    write_files(tmp_path, {"train.json": coco_json({1: "a.jpg"}, [(1, "A dog.")]), "images/train2014/a.jpg": b"x"})
    write_zip(tmp_path / "images.zip", {"train2014/a.jpg": b"x"})
    for images_folder in ("images", "images.zip"):
        source = open_source(_params(images_folder=images_folder), tmp_path)
        assert [source.read(item.path) for item in source.items()] == [b"x"]


def test_faults_are_rejected_with_reasons(tmp_path: Path):
    """Captions of unknown images or without text, images without file or caption, unsafe names: all are listed."""
    images = {1: "1.jpg", 2: "gone.jpg", 3: "3.jpg", 4: "../secret.jpg"}
    captions = [(1, "A dog."), (1, None), (2, "A cat."), (4, "A key."), (7, "A cow.")]
    write_files(tmp_path, {"images/1.jpg": b"", "images/3.jpg": b"", "secret.jpg": b""})
    write_files(tmp_path, {"train.json": coco_json(images, captions)})
    source = open_source(_params(), tmp_path)
    assert [(item.image_id, item.captions) for item in source.items()] == [("1", ("A dog.",))]
    reasons = {rejection.image_id: rejection.reason for rejection in source.rejections()}
    assert "no text" in reasons["1"]
    assert "missing" in reasons["2"]
    assert "no caption" in reasons["3"]
    assert "leads out" in reasons["4"]
    assert "not in `images`" in reasons["7"]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"{", "no UTF-8 JSON"),
        (b'{"images": ' + b"[" * 100_000, "no UTF-8 JSON of COCO captions"),
        (b"[]", "lists"),
        (b'{"images": []}', "lists"),
        (b"\xff\xfe", "no UTF-8 JSON"),
        (None, "found none"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes | None, match: str):
    """What is no COCO captions file says so."""
    (tmp_path / "images").mkdir()
    if content is not None:
        write_files(tmp_path, {"train.json": content})
    with pytest.raises(SourceError, match=match):
        open_source(_params(), tmp_path)


def test_half_the_splits_are_refused(tmp_path: Path):
    """A dev file without a test file is a mistake in params.yaml."""
    with pytest.raises(SourceError, match="test_file"):
        open_source(_params(dev_file="dev.json"), tmp_path)
