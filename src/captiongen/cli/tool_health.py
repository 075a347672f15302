"""What `captiongen doctor` says of the tools beside CaptionGen: git, DVC, MLflow, BentoML, Prefect, telemetry."""

import configparser
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from captiongen.adapters.git_state import read_git_state
from captiongen.cli.environment import TELEMETRY_OFF, defaults
from captiongen.cli.health_check import Check
from captiongen.cli.layout import Layout
from captiongen.errors import ServiceError

_TIMEOUT_SECONDS = 3.0


def examine_tools(layout: Layout, model_name: str) -> Iterator[Check]:
    """Yields the checks of all tools; `model_name` is the registered model whose champion is looked for."""
    yield _git(layout)
    yield _dvc(layout)
    tracking = _tracking(layout)
    yield tracking
    if tracking.state == "ok":
        yield _champion(layout, model_name)
    yield _bento(layout, model_name)
    yield _prefect()
    yield _telemetry()


def _git(layout: Layout) -> Check:
    try:
        state = read_git_state(layout.root)
    except ServiceError as error:
        return Check("git", "missing", str(error), "install git: DVC and the lineage of a model need it")
    if not state.sha:
        return Check("git", "missing", "this folder is no git repository with a commit", "clone the project with git")
    if state.is_dirty:
        found = f"commit {state.sha[:7]}, and {len(state.changed)} changed: {', '.join(state.changed[:3])}"
        return Check("git", "optional", found, "commit them: a release needs code and params that a commit names")
    return Check("git", "ok", f"commit {state.sha[:7]}, nothing changed")


def _dvc(layout: Layout) -> Check:
    config = configparser.ConfigParser()
    folder = layout.root / ".dvc"
    if not folder.is_dir():
        return Check("DVC", "missing", "no .dvc folder", "clone the project with git, or run `dvc init`")
    try:
        config.read([folder / "config", folder / "config.local"], encoding="utf-8")
    except configparser.Error as error:
        return Check("DVC", "missing", f"its config cannot be read: {error}", "correct .dvc/config")
    if remote := config.get("core", "remote", fallback=""):
        return Check("DVC", "ok", f"initialised, pushes to the remote {remote}")
    remedy = "to share data and models: `dvc remote add -d NAME FOLDER-OR-S3-URL`"
    return Check("DVC", "optional", "initialised, without a default remote", remedy)


def _tracking(layout: Layout) -> Check:
    from captiongen.adapters.mlflow_store import tracking_uri

    uri = tracking_uri(layout.root)
    if uri.startswith("sqlite:///"):
        return _database(Path(uri.removeprefix("sqlite:///")))
    if uri.startswith(("http://", "https://")):
        if problem := _why_unreachable(f"{uri.rstrip('/')}/health"):
            remedy = "start it (`make mlflow`), or unset MLFLOW_TRACKING_URI for the project's own database"
            return Check("MLflow", "missing", f"{uri} does not answer: {problem}", remedy)
        return Check("MLflow", "ok", f"{uri} answers")
    return Check("MLflow", "optional", f"{uri}, not looked into", "see the documentation of that database")


def _database(path: Path) -> Check:
    if not path.is_file():
        return Check(
            "MLflow", "optional", f"no runs yet: {path} is made by the first", "run `make run`, or `dvc repro`"
        )
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            (verdict,) = database.execute("pragma quick_check").fetchone()
            (num_runs,) = database.execute("select count(*) from runs").fetchone()
    except sqlite3.Error as error:
        verdict, num_runs = str(error), 0
    if verdict != "ok":
        return Check("MLflow", "missing", f"{path} is damaged: {verdict}", "restore it from a backup, or move it away")
    return Check("MLflow", "ok", f"{path}, {num_runs} runs")


def _champion(layout: Layout, model_name: str) -> Check:
    from captiongen.adapters.mlflow_registry import ModelRegistry

    try:
        champion = ModelRegistry(layout.root, model_name).champion()
    except ServiceError as error:
        return Check("champion", "optional", f"the registry cannot be read: {error}", "mend the MLflow server first")
    if champion is None:
        return Check("champion", "optional", f"{model_name} has none yet", "run `captiongen release` after `dvc repro`")
    return Check("champion", "ok", f"{model_name} version {champion.version}")


def _bento(layout: Layout, model_name: str) -> Check:
    home = Path(os.environ.get("BENTOML_HOME") or defaults(layout.root)["BENTOML_HOME"])
    built = sorted(path.parent.name for path in (home / "bentos" / model_name.lower()).glob("*/bento.yaml"))
    if built:
        return Check("Bento", "ok", f"{len(built)} built in {home}")
    return Check("Bento", "optional", f"none built in {home}", "run `captiongen release` after `dvc repro`")


def _prefect() -> Check:
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        return Check("Prefect", "ok", "no server named: flows start their own for as long as they run")
    if problem := _why_unreachable(f"{url.rstrip('/')}/health"):
        remedy = "start it (`make prefect`), or unset PREFECT_API_URL"
        return Check("Prefect", "optional", f"{url} does not answer: {problem}", remedy)
    return Check("Prefect", "ok", f"{url} answers")


def _telemetry() -> Check:
    changed = [name for name, value in TELEMETRY_OFF.items() if os.environ.get(name, value) != value]
    if changed:
        found = f"your shell changes {', '.join(changed)}"
        return Check("telemetry", "optional", found, f"`unset {' '.join(changed)}` turns it off")
    return Check("telemetry", "ok", "off for every tool")


def _why_unreachable(url: str) -> str:
    import requests

    try:
        requests.get(url, timeout=_TIMEOUT_SECONDS).raise_for_status()
    except requests.RequestException as error:
        return type(error).__name__ if error.response is None else f"status {error.response.status_code}"
    return ""
