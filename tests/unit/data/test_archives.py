"""Archives are the same for the same members, whole or not there, and checked."""

import zipfile
from pathlib import Path
from zlib import crc32

import pytest

from captiongen.data.archives import check_archive, list_members, stored_archive
from captiongen.errors import DownloadError


def _write(path: Path, members: dict[str, bytes]) -> None:
    with stored_archive(path) as add:
        for name, data in members.items():
            add(name, data)


def test_the_same_members_give_the_same_bytes(tmp_path: Path):
    """Neither the time nor the archive's name shows in the bytes, and members read back."""
    _write(tmp_path / "a.zip", {"x.jpg": b"one", "y/z.jpg": b"two"})
    _write(tmp_path / "b.zip", {"x.jpg": b"one", "y/z.jpg": b"two"})
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {"x.jpg": b"one", "y/z.jpg": b"two"}
    assert list_members(tmp_path / "a.zip") == {"x.jpg": (3, crc32(b"one")), "y/z.jpg": (3, crc32(b"two"))}
    check_archive(tmp_path / "a.zip")


def test_a_failure_leaves_the_old_archive(tmp_path: Path):
    """When the block raises, the file is what it was, and no part stays."""
    path = tmp_path / "a.zip"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="stop"), stored_archive(path) as add:
        add("x.jpg", b"one")
        raise RuntimeError("stop")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_flipped_bit_is_found(tmp_path: Path):
    """A member whose bytes do not match its CRC is named."""
    path = tmp_path / "a.zip"
    _write(path, {"x.jpg": b"a" * 1000})
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    with pytest.raises(DownloadError, match=r"x\.jpg"):
        check_archive(path)


@pytest.mark.parametrize("read", [check_archive, list_members])
def test_what_is_no_archive_is_named(tmp_path: Path, read):
    """A file of another kind and a missing file are DownloadErrors that name the archive."""
    (tmp_path / "a.zip").write_text("<html>")
    for name in ("a.zip", "missing.zip"):
        with pytest.raises(DownloadError, match=name):
            read(tmp_path / name)
