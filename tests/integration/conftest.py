"""What the integration tests share: an MLflow database whose migrations have run, which is most of a cold start."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def give_database(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], None]:
    """Puts an empty, migrated database into a project folder."""
    from captiongen.adapters.mlflow_store import open_client

    template = tmp_path_factory.mktemp("database")
    open_client(template)

    def give(folder: Path) -> None:
        (folder / ".captiongen").mkdir(parents=True)
        shutil.copy(template / ".captiongen/mlflow.db", folder / ".captiongen/mlflow.db")

    return give
