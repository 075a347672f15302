"""release.json: what a model folder that leaves this machine knows of its own past.

It lies beside model.safetensors, tokenizer.json and manifest.json in the Bento's model, so that an answer of the
service can name every ancestor without asking the registry. Reading it needs no torch.
"""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from captiongen.errors import CheckpointError
from captiongen.files import sha256_of_file
from captiongen.types import Lineage

RELEASE_FILE = "release.json"
_HASHED = {"model.safetensors": "weights_sha256", "tokenizer.json": "tokenizer_sha256"}  # file -> key in manifest.json
_REMEDY = "Release it again with `captiongen release`."


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
    """Reads the release a model folder carries, and holds its files against it: release, manifest, weights, tokenizer.

    Raises:
        CheckpointError: one of them is missing, damaged, or does not belong to the others.
    """
    path = folder / RELEASE_FILE
    try:
        release = Release.model_validate_json(path.read_bytes())
        manifest = json.loads((folder / "manifest.json").read_bytes())
        found = {key: sha256_of_file(folder / name) for name, key in _HASHED.items()}
    except FileNotFoundError as error:
        raise CheckpointError(f"Expected a released model, found no {error.filename}. {_REMEDY}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(f"{path} is no release of format version 1: {where}: {first['msg']}.") from error
    except ValueError as error:
        raise CheckpointError(f"The manifest in {folder} is no JSON: {error}. {_REMEDY}") from error
    if not isinstance(manifest, dict):
        raise CheckpointError(f"Expected a JSON object in {folder}/manifest.json, found a {type(manifest).__name__}.")
    expected = {"weights_sha256": release.lineage.model_sha256, "tokenizer_sha256": manifest.get("tokenizer_sha256")}
    for name, key in _HASHED.items():
        if not found[key] == expected[key] == manifest.get(key):
            raise CheckpointError(
                f"{folder / name} is not what was released as {release.name} version {release.version}: expected "
                f"sha256 {expected[key]}, found {found[key]}. {_REMEDY}"
            )
    return release
