"""Unlabelled pictures: the ones that were named, all of them, or an error."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from captiongen.data.unlabelled import open_unlabelled
from captiongen.errors import DataError, SourceError
from captiongen.params import UnlabelledParams
from captiongen.types import Preprocessing
from tests.tiny import encoded, tiny_picture

PREPROCESSING = Preprocessing(image_size_px=48, resize="squash")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for name, colour in (("b.png", "red"), ("a.png", "blue"), ("more/c.png", "green")):
        (folder / name).write_bytes(encoded(tiny_picture(colour)))
    (folder / "README.txt").write_text("no picture")
    return folder


def found_sha256(path: Path) -> str:
    """The hash that the error names."""
    with pytest.raises(DataError, match=r"found 3 with ([0-9a-f]{64})") as caught:
        open_unlabelled(UnlabelledParams(path=str(path), sha256="0" * 64))
    return str(caught.value).split("found 3 with ")[1][:64]


def test_the_hash_that_an_error_names_opens_the_pictures(folder):
    """With the hash from the error, all pictures come in the order of their names, prepared as the model sees them."""
    found = open_unlabelled(UnlabelledParams(path=str(folder), sha256=found_sha256(folder)))
    assert found.names == ("a.png", "b.png", "more/c.png")
    first, *_ = prepared = list(found.prepared(PREPROCESSING))
    assert [picture.shape for picture in prepared] == [(48, 48, 3)] * 3
    np.testing.assert_array_equal(first, np.asarray(tiny_picture("blue").resize((48, 48), 3)))


def test_an_archive_of_the_same_pictures_is_the_same(folder, tmp_path):
    """Folder and zip archive of the same names and bytes have one hash."""
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for file in folder.rglob("*.*"):
            archive.write(file, file.relative_to(folder))
    assert found_sha256(tmp_path / "pictures.zip") == found_sha256(folder)


@pytest.mark.parametrize("change", ["bytes", "name"])
def test_other_pictures_are_refused(folder, change):
    """One changed byte or name is another set of pictures."""
    before = found_sha256(folder)
    if change == "name":
        (folder / "a.png").rename(folder / "d.png")
    else:
        (folder / "a.png").write_bytes(encoded(tiny_picture("yellow")))
    with pytest.raises(DataError, match=f"expected pictures with sha256 {before}"):
        open_unlabelled(UnlabelledParams(path=str(folder), sha256=before))


def test_a_picture_that_does_not_decode_is_named(folder):
    """A damaged picture is not passed over: it is named, so that it can be mended or removed."""
    (folder / "b.png").write_bytes(b"no picture")
    found = open_unlabelled(UnlabelledParams(path=str(folder), sha256=found_sha256(folder)))
    with pytest.raises(DataError, match=r"b\.png of the unlabelled pictures"):
        list(found.prepared(PREPROCESSING))


def test_nothing_to_learn_from_is_an_error(tmp_path):
    """A path without anything, and a folder without a picture, each get their own words."""
    with pytest.raises(SourceError, match="found nothing"):
        open_unlabelled(UnlabelledParams(path=str(tmp_path / "absent"), sha256=""))
    with pytest.raises(DataError, match=r"Expected pictures \(\.jpg, .*found none"):
        open_unlabelled(UnlabelledParams(path=str(tmp_path), sha256=""))
