"""Downloads from a real server on the loopback, whose line breaks and whose answers go wrong."""

import io
import random
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from web import FileServer, serving

from captiongen.data.download import MAX_FRUITLESS_ATTEMPTS, download_archive
from captiongen.errors import DownloadError

_SIZE = 700_000
_PIECE = 1 << 14  # a download keeps whole pieces of this size


def _archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jpg", random.Random(0).randbytes(_SIZE))
    return buffer.getvalue()


_CONTENT = _archive()


@pytest.fixture
def server() -> Iterator[FileServer]:
    """Serves an archive at /a.zip."""
    with serving() as files:
        files.files["/a.zip"] = _CONTENT
        yield files


@pytest.fixture
def waits() -> list[float]:
    """The waits that a download asked for, none of which is waited."""
    return []


def test_a_download_is_whole_and_leaves_no_part(server: FileServer, tmp_path: Path):
    """The file has the server's bytes, and nothing else is left in the folder."""
    download_archive(f"{server.url}/a.zip", tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == _CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_a_cut_line_is_taken_up_where_it_broke(server: FileServer, tmp_path: Path, waits: list[float]):
    """After a cut only the missing bytes are asked for, and waits grow only while nothing new comes."""
    server.cut_after = [20 * _PIECE + 5, 0, 0, 3 * _PIECE]
    download_archive(f"{server.url}/a.zip", tmp_path / "a.zip", sleep=waits.append)
    assert (tmp_path / "a.zip").read_bytes() == _CONTENT
    assert server.ranges == ["", *[f"bytes={20 * _PIECE}-"] * 3, f"bytes={23 * _PIECE}-"]
    assert waits == [0.5, 1.0, 2.0, 0.5]


def test_a_later_call_goes_on_after_a_killed_one(server: FileServer, tmp_path: Path):
    """Bytes in the .part file are not fetched again."""
    (tmp_path / "a.zip.part").write_bytes(_CONTENT[:500_000])
    download_archive(f"{server.url}/a.zip", tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == _CONTENT
    assert server.ranges == ["bytes=500000-"]


def test_a_complete_part_is_only_checked(server: FileServer, tmp_path: Path):
    """A .part file that has all bytes (the server answers 416) becomes the archive."""
    (tmp_path / "a.zip.part").write_bytes(_CONTENT)
    download_archive(f"{server.url}/a.zip", tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == _CONTENT


def test_a_part_of_another_larger_file_is_thrown_away(server: FileServer, tmp_path: Path, waits: list[float]):
    """More bytes than the server's file has cannot be its beginning: the download starts over."""
    (tmp_path / "a.zip.part").write_bytes(bytes(len(_CONTENT) + 10))
    download_archive(f"{server.url}/a.zip", tmp_path / "a.zip", sleep=waits.append)
    assert (tmp_path / "a.zip").read_bytes() == _CONTENT


def test_a_server_without_ranges_starts_over(server: FileServer, tmp_path: Path):
    """A plain 200 to a Range request replaces the part instead of being appended to it."""
    server.knows_ranges = False
    (tmp_path / "a.zip.part").write_bytes(_CONTENT[:500_000])
    download_archive(f"{server.url}/a.zip", tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == _CONTENT


def test_a_busy_server_is_asked_again_when_it_says(server: FileServer, tmp_path: Path, waits: list[float]):
    """503 and 429 are waited out, at least as long as Retry-After says."""
    server.statuses, server.headers = [503, 429], {"Retry-After": "7"}
    download_archive(f"{server.url}/a.zip", tmp_path / "a.zip", sleep=waits.append)
    assert (tmp_path / "a.zip").read_bytes() == _CONTENT
    assert waits == [7.0, 7.0]


def test_a_dead_line_gives_up_and_keeps_what_came(server: FileServer, tmp_path: Path, waits: list[float]):
    """When no new byte comes, a few attempts are made; the error says how to go on, and the bytes stay."""
    server.cut_after = [10 * _PIECE, *[0] * 10]
    with pytest.raises(DownloadError, match=r"in 4 attempts.*again to go on after 163,840 bytes"):
        download_archive(f"{server.url}/a.zip", tmp_path / "a.zip", sleep=waits.append)
    assert len(server.ranges) == 1 + MAX_FRUITLESS_ATTEMPTS
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip.part"]


def test_a_missing_file_is_an_error_at_once(server: FileServer, tmp_path: Path, waits: list[float]):
    """404 is no reason to try again."""
    with pytest.raises(DownloadError, match=r"/b\.zip, the server answered 404"):
        download_archive(f"{server.url}/b.zip", tmp_path / "b.zip", sleep=waits.append)
    assert waits == []
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["flipped", "no zip", "cut off"])
def test_damaged_archives_are_refused_and_removed(server: FileServer, tmp_path: Path, damage: str):
    """Bytes that fail the CRC, are no zip or lack the end raise, and neither archive nor part stays behind."""
    flipped = bytearray(_CONTENT)
    flipped[_SIZE // 2] ^= 1
    server.files["/a.zip"] = {"flipped": bytes(flipped), "no zip": b"<html>", "cut off": _CONTENT[:-30]}[damage]
    with pytest.raises(DownloadError, match="is damaged"):
        download_archive(f"{server.url}/a.zip", tmp_path / "a.zip")
    assert not any(tmp_path.iterdir())


def test_a_failed_download_leaves_the_old_archive(server: FileServer, tmp_path: Path):
    """An archive that was there stays until a whole new one has come."""
    (tmp_path / "a.zip").write_bytes(b"old")
    server.files["/a.zip"] = b"<html>"
    with pytest.raises(DownloadError):
        download_archive(f"{server.url}/a.zip", tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == b"old"


def test_an_unreachable_server_is_named(tmp_path: Path, waits: list[float]):
    """A refused connection is tried a few times with growing waits, then is a DownloadError with the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/a.zip"
    with pytest.raises(DownloadError, match=r"/a\.zip could not be downloaded in 4 attempts: ConnectionError"):
        download_archive(url, tmp_path / "a.zip", sleep=waits.append)
    assert waits == [1.0, 2.0, 4.0]


def test_a_full_disk_is_no_reason_to_try_again(server: FileServer, tmp_path: Path, waits: list[float]):
    """When the part cannot be written the error says so at once."""
    (tmp_path / "a.zip.part").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match="cannot be written: No space left on device"):
        download_archive(f"{server.url}/a.zip", tmp_path / "a.zip", sleep=waits.append)
    assert waits == []
