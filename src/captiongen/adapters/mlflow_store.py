"""Opens MLflow's tracking server and registry: sqlite in the project folder, or whatever MLFLOW_TRACKING_URI names."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from captiongen.errors import ServiceError

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "captiongen"


def tracking_uri(project: Path) -> str:
    """Returns MLFLOW_TRACKING_URI, or the URI of the project's own database."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{state_folder(project) / 'mlflow.db'}"


def state_folder(project: Path) -> Path:
    """Where a project keeps its database, MLflow artifacts and locks, versioned by nobody."""
    return project.resolve() / ".captiongen"


def has_database(project: Path) -> bool:
    """Whether the project's database file is there; a server, or a database that is no file, is taken to be."""
    uri = tracking_uri(project)
    if not uri.startswith("sqlite:"):
        return True
    database = _database(uri)
    return not database or Path(database).is_file()


def open_client(project: Path, *, must_exist: bool = False) -> "MlflowClient":
    """Returns a client of the project's tracking server and registry.

    The `mlflow` module itself is pointed nowhere: `mlflow.set_tracking_uri` would write MLFLOW_TRACKING_URI, and the
    next project of this process would land in the database of this one.

    A database file is brought to MLflow's present schema first, under a lock: processes that meet an empty file at the
    same time would otherwise run the same migrations against each other and fail.

    Args:
        project: the project folder.
        must_exist: refuse a database file that is not there, instead of making an empty one: for those that only read.

    Raises:
        ServiceError: the server or database cannot be reached or migrated, or is not there.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    # They tell of each table that they create; a training log is no place for it.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    uri = tracking_uri(project)
    if must_exist and not has_database(project):
        raise ServiceError(
            f"Expected MLflow's database at {_database(uri)}, found none. Restore it if something was released here; "
            "else `dvc repro` and `captiongen release` make it. MLFLOW_TRACKING_URI names one elsewhere."
        )
    with translated_errors(uri):
        if uri.startswith("sqlite:"):
            _migrate(uri, project)
        return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)


def experiment_id(client: "MlflowClient", project: Path) -> str:
    """Returns the id of the project's experiment, made at first use; local artifacts stay in the project folder."""
    from mlflow.exceptions import MlflowException

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    found = client.get_experiment_by_name(name)
    if found is None:
        is_local = client.tracking_uri.startswith("sqlite:")
        artifacts = (state_folder(project) / "mlartifacts" / name).as_uri() if is_local else None
        try:
            made: str = client.create_experiment(name, artifact_location=artifacts)
        except MlflowException:  # another process made it meanwhile
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
        else:
            return made
    number: str = found.experiment_id
    return number


@contextmanager
def translated_errors(doing: str) -> Iterator[None]:
    """Turns MLflow's and its database's errors into `ServiceError`."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise ServiceError(f"MLflow failed ({doing}): {error}") from error


def _database(uri: str) -> str | None:
    """The file of an sqlite database; None of one in memory."""
    import sqlalchemy

    return sqlalchemy.make_url(uri).database


def _migrate(uri: str, project: Path) -> None:
    from filelock import FileLock
    from mlflow.store.db import utils

    # With the tracking schema's own imports all tables are known, the registry's included.
    from mlflow.store.tracking import sqlalchemy_store  # noqa: F401

    folder = state_folder(project)
    folder.mkdir(parents=True, exist_ok=True)
    if database := _database(uri):
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "mlflow.lock"):
        engine = utils.create_sqlalchemy_engine_with_retry(uri)
        try:
            if not utils._all_tables_exist(engine):
                utils._initialize_tables(engine)
            elif utils._get_schema_version(engine) != utils._get_latest_schema_revision():
                utils._upgrade_db(engine)
        finally:
            engine.dispose()
