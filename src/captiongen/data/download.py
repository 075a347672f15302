"""Downloads over HTTP that survive a bad line: resumed, retried, checked, and whole or not at all."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import requests
from tqdm import tqdm

from captiongen.data.archives import check_archive
from captiongen.errors import DownloadError
from captiongen.files import sync_folder

#: What a file's name has at its end while its bytes gather.
PART_SUFFIX = ".part"
#: Attempts in a row that bring no new byte before a download gives up.
MAX_FRUITLESS_ATTEMPTS = 4
_CHUNK_BYTES = 1 << 14  # what a cut line can lose, no more
_TIMEOUT_SECONDS = (10, 30)  # to connect, between two bytes
_LONGEST_WAIT_SECONDS = 60.0
_CONTENT_RANGE = re.compile(r"bytes (?:(?P<first>\d+)-\d+|\*)/(?P<total>\d+|\*)")
_BUSY = (408, 425, 429)  # of the 4xx codes those that another attempt may mend; so may all 5xx


class _Interrupted(Exception):  # noqa: N818 - an event that leads to another attempt, not yet an error
    """The line broke or the server is busy."""

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


def download_archive(url: str, path: Path, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Downloads a zip archive to `path`.

    Bytes gather in `path` + PART_SUFFIX, from where an interrupted download goes on, in this call or a later one. The
    archive takes its name only when it has the size that the server announced and every member passes its CRC.

    Args:
        url: where the archive lies.
        path: the file to write; an existing one is replaced.
        sleep: waits between attempts, in seconds.

    Raises:
        DownloadError: the server cannot be reached or has no such file, or what it sends is damaged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}{PART_SUFFIX}")
    fruitless = 0
    while True:
        size_before = _size(part)
        try:
            _fetch_rest(url, part)
            break
        except _Interrupted as interruption:
            fruitless = 0 if _size(part) > size_before else fruitless + 1
            if fruitless == MAX_FRUITLESS_ATTEMPTS:
                kept = f" Run the command again to go on after {_size(part):,} bytes." if _size(part) else ""
                raise DownloadError(
                    f"{url} could not be downloaded in {fruitless} attempts: {interruption}.{kept}"
                ) from interruption.__cause__
            sleep(min(max(2.0 ** (fruitless - 1), interruption.wait_seconds), _LONGEST_WAIT_SECONDS))
    try:
        check_archive(part)
    except DownloadError as error:
        part.unlink()  # bytes that are wrong cannot be resumed
        raise DownloadError(f"What {url} sent is damaged: {error} Run the command again.") from error
    part.replace(path)
    sync_folder(path.parent)


def _fetch_rest(url: str, part: Path) -> None:
    """Appends what is missing of the file; returns when it is complete."""
    offset = _size(part)
    # Ranges count bytes of the file itself, so no compression on the way.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
    with _translated(), requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS) as response:
        first, total = _extent(response)
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            if offset == total:
                return
            part.unlink()
            raise _Interrupted(f"the server's file is not the one of which {offset:,} bytes are here")
        _refuse_failure(response, url)
        is_continued = offset > 0 and first == offset
        with part.open("ab" if is_continued else "wb") as file:
            _receive(response, file, done=offset if is_continued else 0, total=total, name=part.stem)
    if total is not None and _size(part) != total:
        raise _Interrupted(f"{_size(part):,} of {total:,} bytes came")


def _receive(response: requests.Response, file: BinaryIO, *, done: int, total: int | None, name: str) -> None:
    with tqdm(total=total, initial=done, desc=name, unit="B", unit_scale=True, disable=None) as progress:
        for chunk in response.iter_content(_CHUNK_BYTES):
            file.write(chunk)
            progress.update(len(chunk))
    file.flush()
    os.fsync(file.fileno())


def _extent(response: requests.Response) -> tuple[int, int | None]:
    """The position of the first byte that comes, and the size of the whole file (None where the server is silent)."""
    if match := _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "")):
        return int(match["first"] or 0), int(match["total"]) if match["total"].isdigit() else None
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _refuse_failure(response: requests.Response, url: str) -> None:
    status = response.status_code
    if status in _BUSY or status >= requests.codes.server_error:
        wait = response.headers.get("Retry-After", "")
        raise _Interrupted(f"the server answered {status} {response.reason}", float(wait) if wait.isdigit() else 0.0)
    if status not in (requests.codes.ok, requests.codes.partial_content):
        raise DownloadError(f"Expected an archive at {url}, the server answered {status} {response.reason}.")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, requests.exceptions.SSLError) as error:
        raise DownloadError(f"No download is possible: {error}.") from error
    except requests.exceptions.RequestException as error:
        # Where urllib3 gave up, its reason is the cause; the rest repeats the address.
        cause = getattr(error.args[0], "reason", error) if error.args else error
        raise _Interrupted(f"{type(error).__name__}: {cause}") from error
    except OSError as error:
        raise DownloadError(f"The download cannot be written: {error.strerror}.") from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
