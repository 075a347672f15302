"""Brings a pretrained language model into the project."""

import shutil
from pathlib import Path

from captiongen.errors import PretrainedError
from captiongen.files import atomic_folder
from captiongen.text.pretrained import MODEL_FILES, folder_sha256


def import_language_model(source: Path, folder: Path) -> str:
    """Copies the files that are read of a model to `folder`, unless they are there already; returns their hash.

    Raises:
        PretrainedError: `source` lacks one of them.
    """
    sha256 = folder_sha256(source)
    try:
        if folder_sha256(folder) == sha256:
            return sha256
    except PretrainedError:
        pass  # not there, or half
    with atomic_folder(folder) as part:
        for name in MODEL_FILES:
            shutil.copyfile(source / name, part / name)
    return sha256
