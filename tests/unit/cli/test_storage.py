"""A disk that cannot be written is one line and an exit code of its own, from whatever stage it comes."""

import errno
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import SafetensorError

from captiongen.cli.app import run
from captiongen.model.checkpoint import load_captioner, read_manifest
from tests.tiny import tiny_model_folder


def _raiser(error: Exception) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


def _full_device() -> None:
    Path("/dev/full").write_bytes(b"x")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (_full_device, "No space left on device"),
        (_raiser(OSError(errno.ENOSPC, "No space", "data/processed/x")), "data/processed/x could not be written"),
        (_raiser(OSError(errno.EDQUOT, "Quota", "x")), "quota exceeded"),
        (_raiser(OSError(errno.EROFS, "Read-only", "x")), "Read-only file system"),
        (_raiser(PermissionError(errno.EACCES, "Denied", "models/captioner")), "models/captioner could not be opened"),
        (
            _raiser(NotADirectoryError(errno.ENOTDIR, "Not", ".captiongen/training")),
            "A file stands where a folder should",
        ),
        (_raiser(SafetensorError("Error while serializing: No space left (os error 28)")), "No space left on device"),
    ],
)
def test_a_disk_that_cannot_be_written_is_one_line(
    command: Callable[[], None], says: str, capsys: pytest.CaptureFixture[str]
):
    """The line names the place where it is known, the cause and what to do; the exit code is 8."""
    with pytest.raises(SystemExit) as exit_:
        run(command)
    told = capsys.readouterr().err
    assert exit_.value.code == 8
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    assert says in told
    assert "run the command again" in told


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), SafetensorError("header"), KeyError("x")])
def test_other_errors_stay_what_they_are(error: Exception):
    """What is no matter of space or leave keeps its traceback."""
    with pytest.raises(type(error)):
        run(_raiser(error))


def test_weights_on_a_full_disk_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """What safetensors says of a full disk is understood, and the captioner that was there is intact."""
    folder = tiny_model_folder(tmp_path / "captioner")
    before = read_manifest(folder)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(SystemExit) as exit_:
            run(lambda: tiny_model_folder(folder, seed=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert exit_.value.code == 8
    assert "File too large" in capsys.readouterr().err
    assert load_captioner(folder).manifest == before
    assert list(tmp_path.iterdir()) == [folder]
