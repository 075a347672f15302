"""A digest of the code that a Bento carries, so that a mend of the service ships although the model stays the same."""

import hashlib
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

import yaml

from captiongen.errors import ServiceError
from captiongen.files import sha256_of_file

BENTOFILE = "bentofile.yaml"
_NUM_DIGITS = 8
_NEVER_CARRIED = ("__pycache__", "*.pyc")


def bento_code_digest(project: Path) -> str:
    """Returns eight hex digits over what bentofile.yaml includes, names and bytes, and over bentofile.yaml itself.

    Args:
        project: the folder of bentofile.yaml.

    Raises:
        ServiceError: bentofile.yaml or a path that it includes is missing, or its `include` has patterns instead of
            paths from the project's folder.
    """
    path = project / BENTOFILE
    try:
        options = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ServiceError(f"Expected {BENTOFILE} in {project.resolve()}, found none. Start in the project.") from None
    included = [project / _anchored(entry) for entry in options["include"]]
    return code_digest([path, *included], root=project, exclude=options.get("exclude", ()))


def code_digest(paths: Iterable[Path], *, root: Path, exclude: Iterable[str] = ()) -> str:
    """Returns eight hex digits over files, and over all files in folders, by their names below `root` and their bytes.

    Args:
        paths: files and folders below `root`.
        root: what names are relative to.
        exclude: patterns of names that do not count.

    Raises:
        ServiceError: one of them is missing.
    """
    patterns = (*_NEVER_CARRIED, *exclude)
    digest = hashlib.sha256()
    for file in sorted({file for path in paths for file in _files(path)}):
        name = file.relative_to(root)
        if not any(fnmatch(part, pattern) for part in name.parts for pattern in patterns):
            digest.update(f"{name.as_posix()}\0{sha256_of_file(file)}\n".encode())
    return digest.hexdigest()[:_NUM_DIGITS]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return [file for file in path.rglob("*") if file.is_file()]
    if path.is_file():
        return [path]
    raise ServiceError(f"Expected {path}, which {BENTOFILE} includes, found none. Restore it with git.")


def _anchored(entry: str) -> str:
    """A path of `include`, from the project's folder on."""
    if not entry.startswith("/") or any(mark in entry for mark in "*?[!"):
        raise ServiceError(
            f"Expected paths such as /src/captiongen/ in the include list of {BENTOFILE}, found {entry!r}, which would "
            "ship files that the digest of the code does not see."
        )
    return entry.strip("/")
