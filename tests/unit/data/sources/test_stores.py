"""Reading pictures from folders and archives, and never from outside them."""

import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from captiongen.data.sources import stores
from captiongen.data.sources.stores import Store, open_store, why_unsafe
from captiongen.errors import SourceError
from tests.datasets import write_files, write_zip

_FILES = {"b.png": b"bb", "sub/a.png": b"aa", "__MACOSX/sub/._a.png": b"junk", ".DS_Store": b"junk"}


@pytest.fixture(params=["folder", "zip"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[dict[str, bytes]], Store]:
    def make(files: dict[str, bytes]) -> Store:
        path = tmp_path / "images"
        path.mkdir()
        if request.param == "folder":
            write_files(path, files)
        else:
            path = tmp_path / "images.zip"
            write_zip(path, files)
        return open_store(path)

    return make


def test_content_is_listed_and_read(make_store: Callable[[dict[str, bytes]], Store]):
    """Names are sorted, relative, and without what macOS adds; each reads its own bytes."""
    store = make_store(_FILES)
    assert store.names() == ["b.png", "sub/a.png"]
    assert [store.read(name) for name in store.names()] == [b"bb", b"aa"]
    assert "sub/a.png" in store
    assert "sub/c.png" not in store


def test_missing_files_are_the_projects_error(make_store: Callable[[dict[str, bytes]], Store]):
    """A name that is not there is a SourceError that says it."""
    with pytest.raises(SourceError, match=r"c\.png"):
        make_store(_FILES).read("c.png")


@pytest.mark.parametrize(
    "name",
    [
        "../secret.txt",
        "sub/../../secret.txt",
        "/etc/passwd",
        "C:/secret.txt",
        "..\\secret.txt",
        "a\0.png",
        "a\n.png",
        "",
    ],
)
def test_unsafe_names_are_never_followed(make_store: Callable[[dict[str, bytes]], Store], tmp_path: Path, name: str):
    """A name that leads outside is refused with its reason, even where a file lies there."""
    (tmp_path / "secret.txt").write_text("secret")
    store = make_store(_FILES)
    assert why_unsafe(name) is not None
    with pytest.raises(SourceError, match="is not read"):
        store.read(name)


@pytest.mark.parametrize("name", ["a.png", "sub folder/ä (1).jpg", "..a.png", "a..png", "./a.png"])
def test_ordinary_names_are_safe(name: str):
    """Spaces, brackets, accents and dots inside a name are fine."""
    assert why_unsafe(name) is None


def test_symbolic_links_are_followed(tmp_path: Path):
    """DVC may link to its cache, which lies outside the folder."""
    (tmp_path / "cache").write_bytes(b"cached")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").symlink_to(tmp_path / "cache")
    assert open_store(tmp_path / "images").read("a.png") == b"cached"


def test_archives_read_from_several_threads(tmp_path: Path):
    """Threads that share one open archive get their own member's bytes."""
    files = {f"{k}.bin": bytes([k]) * 50_000 for k in range(50)}
    write_zip(tmp_path / "a.zip", files)
    store = open_store(tmp_path / "a.zip")
    with ThreadPoolExecutor(4) as threads:
        assert dict(zip(files, threads.map(store.read, files), strict=True)) == files


def test_large_files_are_refused(make_store: Callable[[dict[str, bytes]], Store], monkeypatch: pytest.MonkeyPatch):
    """A file over the limit is not read into memory."""
    monkeypatch.setattr(stores, "MAX_FILE_BYTES", 10)
    with pytest.raises(SourceError, match="larger than"):
        make_store({"a.png": b"x" * 11}).read("a.png")


def test_damaged_members_are_the_projects_error(tmp_path: Path):
    """A flipped byte inside an archive is noticed by its checksum."""
    path = tmp_path / "a.zip"
    write_zip(path, {"a.png": b"x" * 100})
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("a.png").header_offset + 30 + len("a.png")
    data[start + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(SourceError, match="CRC"):
        open_store(path).read("a.png")


def test_damaged_archives_and_missing_places_are_refused(tmp_path: Path):
    """No archive, half an archive, nothing at all: one clear line each."""
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(SourceError, match="no readable zip"):
        open_store(tmp_path / "a.zip")
    with pytest.raises(SourceError, match="found nothing"):
        open_store(tmp_path / "b.zip")
