"""What `captiongen doctor` says of the tools beside CaptionGen."""

import json
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from captiongen.cli.app import app
from captiongen.cli.health_check import Check
from captiongen.cli.layout import Layout
from captiongen.cli.tool_health import examine_tools
from tests.web import answering


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A git repository with one commit and an initialised DVC; the tools' homes lie in it."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    (tmp_path / "params.yaml").write_text("ingest: {}\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / ".bentoml"))
    return Layout(tmp_path)


@pytest.fixture
def server() -> Iterator[str]:
    """A server whose /health answers, as MLflow's and Prefect's do; all else is 404."""
    with answering(lambda path: 200 if path == "/health" else 404) as url:
        yield url


def _look(layout: Layout) -> dict[str, Check]:
    return {check.name: check for check in examine_tools(layout, "captiongen")}


def test_a_fresh_project_misses_nothing(layout: Layout):
    """Without runs, champion and Bento nothing is missing, and what is optional comes with a command."""
    checks = _look(layout)
    assert {name for name, check in checks.items() if check.state == "missing"} == set()
    assert checks["git"].state == "ok"
    assert all(check.remedy for check in checks.values() if check.state == "optional")


def test_changed_params_make_the_tree_dirty(layout: Layout):
    """A change that no commit names is optional, and the file is named."""
    layout.params.write_text("ingest: {source: table}\n")
    assert _look(layout)["git"].state == "optional"
    assert "params.yaml" in _look(layout)["git"].found


def test_the_default_remote_is_named(layout: Layout):
    """A default remote in .dvc/config.local counts as one in .dvc/config."""
    assert "dvc remote add" in _look(layout)["DVC"].remedy
    (layout.root / ".dvc" / "config.local").write_text("[core]\n    remote = storage\n")
    assert _look(layout)["DVC"].found.endswith("storage")


def test_the_tracking_database_is_checked(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    """An sqlite file with runs is ok with their number; one that is no database is missing, with a remedy."""
    path = layout.root / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    path.write_text("this is no database, and long enough to be looked at")
    assert _look(layout)["MLflow"].state == "missing"
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("create table runs (run_uuid text)")
        database.execute("insert into runs values ('a'), ('b')")
        database.commit()
    check = next(check for check in examine_tools(layout, "captiongen") if check.name == "MLflow")
    assert (check.state, check.found) == ("ok", f"{path}, 2 runs")


def test_a_tracking_server_that_does_not_answer_is_missing(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    """Runs would fail against a named server that is down, so it counts as missing."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    check = _look(layout)["MLflow"]
    assert check.state == "missing"
    assert "ConnectionError" in check.found


def test_servers_that_answer_are_ok(layout: Layout, server: str, monkeypatch: pytest.MonkeyPatch):
    """A reachable MLflow and a reachable Prefect are ok; Prefect's wrong address is optional."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.setenv("PREFECT_API_URL", server)
    checks = {check.name: check for check in _until(layout, "MLflow")}
    assert checks["MLflow"].state == "ok"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert _look(layout)["Prefect"].state == "ok"
    monkeypatch.setenv("PREFECT_API_URL", f"{server}/elsewhere")
    assert _look(layout)["Prefect"].found.endswith("status 404")


def _until(layout: Layout, name: str) -> Iterator[Check]:
    """Checks up to the named one: what follows a tracking server asks its registry."""
    for check in examine_tools(layout, "captiongen"):
        yield check
        if check.name == name:
            return


@pytest.mark.parametrize("model_name", ["captiongen", "CaptionGen"])
def test_built_bentos_are_counted(layout: Layout, model_name: str):
    """Each version with a bento.yaml counts; BentoML stores every name in lower case."""
    for version in ("1", "2"):
        folder = layout.root / ".bentoml" / "bentos" / "captiongen" / version
        folder.mkdir(parents=True)
        (folder / "bento.yaml").touch()
    checks = {check.name: check for check in examine_tools(layout, model_name)}
    assert checks["Bento"].found.startswith("2 built")


def test_a_shell_that_turns_telemetry_on_is_named(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    """A variable that the user has set otherwise is named, with the `unset` that turns telemetry off."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    assert "unset MLFLOW_DISABLE_TELEMETRY" in _look(layout)["telemetry"].remedy


def test_looking_changes_nothing(layout: Layout):
    """Afterwards the folder holds what it held before."""
    before = {path for path in layout.root.rglob("*") if ".git" not in path.parts}
    _look(layout)
    assert {path for path in layout.root.rglob("*") if ".git" not in path.parts} == before


def test_doctor_speaks_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`--json` prints one list of checks, and the exit still tells that something is missing."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["doctor", "--json"])
    checks = {check["name"]: check for check in json.loads(result.stdout)}
    assert checks["params.yaml"]["state"] == "missing"
    assert set(checks["git"]) == {"name", "state", "found", "remedy"}
    assert getattr(result.exception, "exit_code", None) == 7
