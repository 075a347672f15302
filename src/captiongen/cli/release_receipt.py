"""What the last release left in place, noted so that "nothing to release" takes a moment, not the import of MLflow.

The note holds only as long as nothing at all was written to the tracking database since: then the registry says what it
said. With any other server than a database file of this machine there is no note, and the registry itself is asked.
"""

import json
from dataclasses import asdict, dataclass, replace

from captiongen.adapters.bento_packaging import bento_model_folder
from captiongen.adapters.lineage import read_lineage
from captiongen.adapters.mlflow_registry import release_key
from captiongen.adapters.mlflow_store import database_file
from captiongen.cli.layout import Layout
from captiongen.errors import ServiceError
from captiongen.files import write_atomically
from captiongen.params import Params


@dataclass(frozen=True, slots=True)
class Receipt:
    """A release that is in service.

    Attributes:
        name: of the registered model.
        version: the champion.
        bento: its Bento's tag.
        key: identity of model and lineage (`release_key`).
        database: the tracking database's time of change (ns) and size, "" where it is no file.
    """

    name: str
    version: str
    bento: str
    key: str
    database: str


def write_receipt(layout: Layout, *, name: str, version: str, bento: str, key: str) -> None:
    """Notes that this release is in service."""
    receipt = Receipt(name, version, bento, key, _database_state(layout))
    write_atomically(layout.state / "release.json", json.dumps(asdict(receipt), indent=2) + "\n")


def read_receipt(layout: Layout, params: Params) -> Receipt | None:
    """Returns the note if it still holds and is about the model of the working tree, None otherwise."""
    try:
        receipt = Receipt(**json.loads((layout.state / "release.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    if receipt.name != params.release.model_name or not receipt.database or receipt.database != _database_state(layout):
        return None
    lineage = read_lineage(layout.root, layout.model)
    # Uncommitted changes do not matter: there is nothing to release.
    if receipt.key not in {release_key(replace(lineage, is_dirty=is_dirty)) for is_dirty in (False, True)}:
        return None
    return receipt if has_bento(receipt.bento, layout) else None


def has_bento(tag: str, layout: Layout) -> bool:
    """Whether BentoML's store has this Bento and its model."""
    try:
        return bento_model_folder(tag, project=layout.root).is_dir()
    except ServiceError:
        return False


def _database_state(layout: Layout) -> str:
    file = database_file(layout.root)
    if file is None or not file.is_file():
        return ""
    found = file.stat()
    return f"{found.st_mtime_ns} {found.st_size}"
