"""Server, worker and deployments of Prefect really running; and a flow with a server of its own."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from repositories import commit, dvc, git_init
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from flows.local import deploy, prefect_server, worker

STAGES = """
stages:
  count:
    cmd: wc -w < copy.txt > count.txt
    deps: [copy.txt]
    outs: [count.txt]
  copy:
    cmd: echo copying && cat list.txt > copy.txt
    deps: [list.txt]
    outs: [copy.txt]
"""
_PATIENCE_SECONDS = 180.0
_ASKED_AGAIN = Retry(total=5, backoff_factor=0.5, status_forcelist=[503], allowed_methods=None)


@dataclass(frozen=True)
class Prefect:
    """The API of a server that a worker listens to, and the project it works in."""

    url: str
    folder: Path

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._ask("POST", path, json=body or {})

    def get(self, path: str) -> Any:
        return self._ask("GET", path)

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        """As Prefect's own client: a server whose sqlite is locked says 503, and is asked again."""
        with requests.Session() as session:
            session.mount("http://", HTTPAdapter(max_retries=_ASKED_AGAIN))
            response = session.request(method, f"{self.url}/{path}", timeout=30, **options)
        response.raise_for_status()
        return response.json()

    def start(self, deployment: str) -> str:
        found = self.get(f"deployments/name/{deployment}")
        return str(self.post(f"deployments/{found['id']}/create_flow_run")["id"])

    def state(self, flow_run: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"flow_runs/{flow_run}")["state"]
        return found

    def finish(self, flow_run: str) -> dict[str, Any]:
        wait_until(lambda: self.state(flow_run)["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"))
        return self.state(flow_run)

    def task_names(self, flow_run: str) -> list[str]:
        body = {"task_runs": {"flow_run_id": {"any_": [flow_run]}}, "sort": "EXPECTED_START_TIME_ASC"}
        return [run["name"] for run in self.post("task_runs/filter", body)]

    def stage_table(self, flow_run: str) -> str:
        body = {"artifacts": {"flow_run_id": {"any_": [flow_run]}, "key": {"any_": ["pipeline-stages"]}}}
        return str(self.post("artifacts/filter", body)[0]["data"])

    def logs(self, flow_run: str) -> str:
        rows = self.post("logs/filter", {"logs": {"flow_run_id": {"any_": [flow_run]}}})
        return "\n".join(row["message"] for row in rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Path:
    """A project of two tiny stages, with this repository's flows and deployments."""
    folder = tmp_path_factory.mktemp("flows") / "project"
    git_init(folder)
    dvc(folder, "init", "--quiet")
    shutil.copytree(project / "flows", folder / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(project / "prefect.yaml", folder)
    (folder / "list.txt").write_text("a b c\n")
    (folder / "dvc.yaml").write_text(STAGES)
    commit(folder)
    return folder


@pytest.fixture(scope="module")
def prefect(folder: Path) -> Iterator[Prefect]:
    with prefect_server(free_port()) as url:
        deploy(folder, url)
        with worker(folder, url):
            yield Prefect(url, folder)


def test_a_deployed_pipeline_runs_to_completed_and_shows_its_stages(prefect: Prefect):
    """One task per stage in DVC's order, what ran and what was cached, the stages' output, and DVC's own lock file."""
    first = prefect.start("pipeline/nightly")
    assert prefect.finish(first)["type"] == "COMPLETED", prefect.logs(first)
    assert prefect.task_names(first) == ["copy", "count", "nothing left to do"]
    assert "| copy | ran |" in prefect.stage_table(first)
    assert "| count | ran |" in prefect.stage_table(first)
    wait_until(lambda: "copying" in prefect.logs(first))
    lock = prefect.folder / "dvc.lock"
    by_flow = lock.read_bytes()

    second = prefect.start("pipeline/nightly")
    assert prefect.finish(second)["type"] == "COMPLETED"
    assert "| copy | cached |" in prefect.stage_table(second)
    assert "| count | cached |" in prefect.stage_table(second)
    assert lock.read_bytes() == by_flow
    lock.unlink()
    dvc(prefect.folder, "repro", "--quiet", "--force")
    assert lock.read_bytes() == by_flow


def test_deployments_have_their_schedules_and_the_scheduler_plans_runs(prefect: Prefect):
    """The pipeline and the analysis are on, the release is off; only what is on gets runs planned."""
    active = {
        f"{name}/{deployment}": prefect.get(f"deployments/name/{name}/{deployment}")["schedules"][0]["active"]
        for name, deployment in (("pipeline", "nightly"), ("release", "on-demand"), ("error-analysis", "weekly"))
    }
    assert active == {"pipeline/nightly": True, "release/on-demand": False, "error-analysis/weekly": True}
    nightly = prefect.get("deployments/name/pipeline/nightly")["id"]
    body = {"deployments": {"id": {"any_": [nightly]}}, "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    wait_until(lambda: len(prefect.post("flow_runs/filter", body)) > 0)


@pytest.mark.slow
def test_a_cancelled_run_takes_its_stage_with_it(prefect: Prefect):
    """Cancelled in Prefect, the stage's own process is gone within seconds."""
    pid_file, dvc_file = prefect.folder / "pid", prefect.folder / "dvc.yaml"
    dvc_file.write_text(STAGES.replace("echo copying", "echo $$ > pid && sleep 300"))
    try:
        run = prefect.start("pipeline/nightly")
        wait_until(lambda: pid_file.is_file() and pid_file.read_text().strip() != "")
        stage = psutil.Process(int(pid_file.read_text()))
        prefect.post(f"flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
        wait_until(lambda: not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE)
        assert prefect.finish(run)["type"] == "CANCELLED"
    finally:
        dvc_file.write_text(STAGES)


@pytest.mark.slow
def test_a_flow_brings_a_server_of_its_own(folder: Path, tmp_path: Path):
    """Without a server, `python flows/pipeline.py` starts one for the run, and keeps its state in the project."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "flows/pipeline.py"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[-2:]] == ["copy", "count"]
    assert (folder / ".captiongen/prefect/prefect.db").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pipeline", "release", "error_analysis"])
def test_each_flow_is_a_command(project: Path, name: str):
    """`python flows/NAME.py --help` explains itself from any folder."""
    command = [sys.executable, str(project / "flows" / f"{name}.py"), "--help"]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--project" in done.stdout


def wait_until(is_so: Callable[[], bool]) -> None:
    """Waits, with patience for a busy machine."""
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.5)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
