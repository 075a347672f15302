"""release.json: what a model folder that leaves this machine knows of its own past.

It lies beside model.safetensors, tokenizer.json and manifest.json in the Bento's model, so that an answer of the
service can name every ancestor without asking the registry. Reading it needs no torch.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from captiongen.data.files import sha256_of_file
from captiongen.errors import CheckpointError
from captiongen.types import Lineage

RELEASE_FILE = "release.json"
_WEIGHTS_FILE = "model.safetensors"


class Release(BaseModel):
    """One registered version of a model, and its lineage.

    Attributes:
        name: of the registered model.
        version: in the registry.
        lineage: down to the bytes that it was trained on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    name: str
    version: str
    lineage: Lineage


def read_release(folder: Path) -> Release:
    """Reads the release a model folder carries, and holds its weights against it.

    Raises:
        CheckpointError: release.json or the weights are missing, damaged, or do not belong together.
    """
    path, weights = folder / RELEASE_FILE, folder / _WEIGHTS_FILE
    try:
        release = Release.model_validate_json(path.read_bytes())
        found = sha256_of_file(weights)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"Expected a released model with {RELEASE_FILE} and {_WEIGHTS_FILE}, found no {error.filename}. "
            "Release it again with `captiongen release`."
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(f"{path} is no release of format version 1: {where}: {first['msg']}.") from error
    if found != release.lineage.model_sha256:
        raise CheckpointError(
            f"{weights} is not the model that was released as {release.name} version {release.version}: expected "
            f"sha256 {release.lineage.model_sha256}, found {found}. Release it again with `captiongen release`."
        )
    return release
