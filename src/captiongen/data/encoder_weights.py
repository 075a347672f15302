"""Brings an encoder's weights into the project."""

import re
import shutil
from pathlib import Path

from captiongen.errors import EncoderError, UsageError
from captiongen.files import atomic_file, sha256_of_file


def import_weights(file: Path, folder: Path, *, name: str) -> tuple[Path, str]:
    """Copies a safetensors file to `folder`/`name`.safetensors, unless it is there already.

    Returns:
        The copy and its sha256.

    Raises:
        UsageError: `name` is no plain file name.
        EncoderError: `file` is missing or is no safetensors file with tensors in it.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UsageError(f"Expected a name of letters, digits, dots, dashes and underscores, found {name!r}.")
    _check(file)
    target, sha256 = folder / f"{name}.safetensors", sha256_of_file(file)
    if not (target.is_file() and sha256_of_file(target) == sha256):
        with atomic_file(target) as part:
            shutil.copyfile(file, part)
    return target, sha256


def _check(file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        raise EncoderError(f"Expected an encoder's weights, a safetensors file, at {file}, found no file there.")
    try:
        with safe_open(file, framework="numpy") as tensors:
            num_tensors = len(tensors.keys())
    except (OSError, SafetensorError) as error:
        raise EncoderError(f"Expected an encoder's weights as safetensors in {file}: {error}.") from error
    if not num_tensors:
        raise EncoderError(f"{file} holds no tensors.")
