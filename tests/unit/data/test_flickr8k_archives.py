"""Flickr8k's archives come from a server or a folder, packed or unpacked, and are Flickr8k's."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from web import FileServer, serving

from captiongen.data.archives import list_members
from captiongen.data.flickr8k_archives import download_flickr8k, import_flickr8k
from captiongen.data.sources import open_source
from captiongen.data.sources.flickr8k import IMAGES_ARCHIVE, TEXT_ARCHIVE
from captiongen.errors import DownloadError, SourceError
from captiongen.params import IngestParams

_NAMES = [f"{number}_ab.jpg" for number in range(4)]
_IMAGES = {f"Flicker8k_Dataset/{name}": f"picture {name}".encode() for name in _NAMES}
_TEXTS = {
    "Flickr8k.token.txt": "".join(f"{name}#{n}\tA dog number {n} .\n" for name in _NAMES for n in range(5)).encode(),
    "Flickr_8k.trainImages.txt": f"{_NAMES[0]}\n{_NAMES[1]}\n".encode(),
    "Flickr_8k.devImages.txt": f"{_NAMES[2]}\n".encode(),
    "Flickr_8k.testImages.txt": f"{_NAMES[3]}\n".encode(),
    "readme.txt": b"Please cite.",
}
_PARAMS = IngestParams(source="flickr8k", path="data/raw/flickr8k", name="flickr8k")


def _zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _unpack(folder: Path, members: dict[str, bytes]) -> None:
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A folder with both archives."""
    _unpack(tmp_path / "packed", {IMAGES_ARCHIVE: _zip(_IMAGES), TEXT_ARCHIVE: _zip(_TEXTS)})
    return tmp_path / "packed"


@pytest.fixture
def server() -> Iterator[FileServer]:
    """Serves both archives under /f."""
    with serving() as files:
        files.files |= {f"/f/{IMAGES_ARCHIVE}": _zip(_IMAGES), f"/f/{TEXT_ARCHIVE}": _zip(_TEXTS)}
        yield files


def _splits(folder: Path) -> dict[str, str]:
    return {item.image_id: item.split for item in open_source(_PARAMS, folder).items()}


def test_archives_are_downloaded_once(server: FileServer, tmp_path: Path):
    """Both come from the server, the source reads them, and a second call asks for nothing."""
    download_flickr8k(tmp_path, base_url=f"{server.url}/f")
    assert sorted(_splits(tmp_path).values()) == ["dev", "test", "train", "train"]
    download_flickr8k(tmp_path, base_url=f"{server.url}/f")
    assert len(server.ranges) == 2


def test_a_download_that_fails_says_how_to_do_without_network(server: FileServer, tmp_path: Path):
    """The error of a missing file names `--from`."""
    with pytest.raises(DownloadError, match=r"captiongen fetch flickr8k --from DIR"):
        download_flickr8k(tmp_path, base_url=f"{server.url}/elsewhere")


def test_an_intact_archive_of_something_else_is_refused(server: FileServer, tmp_path: Path):
    """A zip without the caption files does not stay."""
    server.files[f"/f/{TEXT_ARCHIVE}"] = _zip({"other.txt": b"x"})
    with pytest.raises(DownloadError, match=r"Expected Flickr8k\.token\.txt.*found 1 other"):
        download_flickr8k(tmp_path, base_url=f"{server.url}/f")
    assert not (tmp_path / TEXT_ARCHIVE).exists()


def test_archives_are_copied_as_they_are(packed: Path, tmp_path: Path):
    """Importing archives keeps their bytes; a second import does not touch them."""
    import_flickr8k(packed, tmp_path / "raw")
    times = {}
    for name in (IMAGES_ARCHIVE, TEXT_ARCHIVE):
        assert (tmp_path / "raw" / name).read_bytes() == (packed / name).read_bytes()
        times[name] = (tmp_path / "raw" / name).stat().st_mtime_ns
    import_flickr8k(packed, tmp_path / "raw")
    assert {name: (tmp_path / "raw" / name).stat().st_mtime_ns for name in times} == times


@pytest.mark.parametrize("inner", ["", "Flickr8k_Dataset/"], ids=["as packed", "in a folder of the archive's name"])
def test_unpacked_folders_become_archives(tmp_path: Path, inner: str):
    """Pictures and texts that were unpacked are packed in the official layout, with their bytes."""
    _unpack(tmp_path / "open", {f"{inner}{name}": data for name, data in _IMAGES.items()})
    _unpack(tmp_path / "open" / "Flickr8k_text", _TEXTS)
    import_flickr8k(tmp_path / "open", tmp_path / "raw")
    with zipfile.ZipFile(tmp_path / "raw" / IMAGES_ARCHIVE) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == _IMAGES
    assert set(list_members(tmp_path / "raw" / TEXT_ARCHIVE)) == set(_TEXTS)
    assert len(_splits(tmp_path / "raw")) == 4


def test_new_content_replaces_old(packed: Path, tmp_path: Path):
    """An archive with other members takes the place of the one that was imported before."""
    import_flickr8k(packed, tmp_path / "raw")
    (packed / IMAGES_ARCHIVE).write_bytes(_zip(_IMAGES | {"Flicker8k_Dataset/new.jpg": b"new"}))
    import_flickr8k(packed, tmp_path / "raw")
    assert "Flicker8k_Dataset/new.jpg" in list_members(tmp_path / "raw" / IMAGES_ARCHIVE)


@pytest.mark.parametrize("way", ["imported packed", "imported unpacked", "downloaded"])
def test_what_killed_processes_left_does_not_become_data(server: FileServer, packed: Path, tmp_path: Path, way: str):
    """Half a packing and half a download are gone when the folder is given to DVC, also where nothing is to be done."""
    _unpack(tmp_path / "open", _IMAGES | {f"Flickr8k_text/{name}": data for name, data in _TEXTS.items()})
    for _ in range(2):  # the second time both archives are there already
        _unpack(tmp_path / "raw", {f".{IMAGES_ARCHIVE}.abcd1234.part": b"half", f".{TEXT_ARCHIVE}.x_y.part": b""})
        if way == "downloaded":
            download_flickr8k(tmp_path / "raw", base_url=f"{server.url}/f")
        else:
            _unpack(tmp_path / "raw", {f"{IMAGES_ARCHIVE}.part": b"half"})
            import_flickr8k(packed if way == "imported packed" else tmp_path / "open", tmp_path / "raw")
        assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == [IMAGES_ARCHIVE, TEXT_ARCHIVE]


def test_unpacked_content_of_something_else_leaves_the_old_archive(packed: Path, tmp_path: Path):
    """Captions without the split lists are refused before the archive that was there is touched."""
    import_flickr8k(packed, tmp_path / "raw")
    before = (tmp_path / "raw" / TEXT_ARCHIVE).read_bytes()
    _unpack(tmp_path / "open", _IMAGES | {"Flickr8k_text/Flickr8k.token.txt": b"x.jpg#0\tA dog .\n"})
    with pytest.raises(DownloadError, match=r"Expected Flickr_8k\.trainImages\.txt"):
        import_flickr8k(tmp_path / "open", tmp_path / "raw")
    assert (tmp_path / "raw" / TEXT_ARCHIVE).read_bytes() == before


def test_a_damaged_archive_is_not_imported(packed: Path, tmp_path: Path):
    """A cut-off archive raises, and nothing of it arrives."""
    (packed / IMAGES_ARCHIVE).write_bytes(_zip(_IMAGES)[:-40])
    with pytest.raises(DownloadError, match=IMAGES_ARCHIVE):
        import_flickr8k(packed, tmp_path / "raw")
    assert not (tmp_path / "raw" / IMAGES_ARCHIVE).exists()


def test_a_folder_without_flickr8k_says_what_was_looked_for(tmp_path: Path):
    """The error names the archives and their content."""
    with pytest.raises(SourceError, match=r"Expected Flickr8k_Dataset\.zip and .* or the folder Flicker8k_Dataset"):
        import_flickr8k(tmp_path, tmp_path / "raw")


@pytest.mark.real_data
def test_the_real_archives_are_imported_and_read(real_data: Path, tmp_path: Path):
    """The real text archive passes the checks and lists 6,000 training images."""
    import_flickr8k(real_data, tmp_path)
    assert sum(split == "train" for split in _splits(tmp_path).values()) == 6000
