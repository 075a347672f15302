"""Runs in a real MLflow on sqlite."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
from mlflow import MlflowClient
from mlflow.entities import Run

from captiongen.adapters.mlflow_store import experiment_id, open_client
from captiongen.adapters.mlflow_tracking import (
    MODEL_TAG,
    TRAINING_TAG,
    MlflowTracker,
    continue_run,
    find_run,
    open_run,
)
from captiongen.errors import ServiceError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, give_database: Callable[[Path], None]) -> Path:
    """A project folder with a database that this module shares."""
    folder = tmp_path_factory.mktemp("tracking")
    give_database(folder)
    return folder


@pytest.fixture
def client(folder: Path) -> MlflowClient:
    return open_client(folder)


def run_of(client: MlflowClient, tracker: MlflowTracker) -> Run:
    return client.get_run(tracker.run_id)


def test_a_run_keeps_what_it_is_told(folder: Path, client: MlflowClient):
    """Params, every step of a metric, data inputs by DVC hash, files, pictures with captions, curves and its origin."""
    (folder / "curves.csv").write_text("epoch,loss\n")
    with open_run(folder, name="train tiny") as tracker:
        tracker.log_params({f"train.key_{number}": number for number in range(150)} | {"train.none": None})
        for step in range(450):
            tracker.log_metrics({"loss": 1.0 / (step + 1)}, step=step)
        tracker.log_dataset("tiny", path="data/processed", md5="0123456789abcdef" * 2 + ".dir", context="training")
        tracker.log_file(folder / "curves.csv", folder="training")
        tracker.log_captions([tiny.encoded(tiny.tiny_picture())], ["a red ball"], name="dev", step=3)
        tracker.log_curves({"loss": [(1, 0.5), (2, 0.25)], "CIDEr": [(2, 40.0)]}, name="curves", x_label="epoch")
    run = run_of(client, tracker)
    assert run.info.status == "FINISHED"
    assert len(run.data.params) == 151
    history = client.get_metric_history(tracker.run_id, "loss")
    assert [metric.step for metric in history] == list(range(450))
    [dataset] = run.inputs.dataset_inputs
    assert json.loads(dataset.dataset.source)["md5"] == "0123456789abcdef" * 2 + ".dir"
    assert dataset.tags[0].value == "training"
    files = {
        file.path for name in ("training", "plots", "images") for file in client.list_artifacts(tracker.run_id, name)
    }
    assert {"training/curves.csv", "plots/curves.png"} <= files
    assert any(name.startswith("images/dev~00+step+3") for name in files)
    assert run.data.tags["captiongen.is_dirty"] == "true"  # this folder is in no commit


def test_system_metrics_are_recorded(folder: Path, client: MlflowClient, monkeypatch: pytest.MonkeyPatch):
    """Load and memory of the machine stand beside the run's own metrics."""
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    with open_run(folder, name="busy") as tracker:
        give_up = time.monotonic() + 20
        while time.monotonic() < give_up and not _system_metrics(run_of(client, tracker)):
            time.sleep(0.2)
    assert "system/cpu_utilization_percentage" in _system_metrics(run_of(client, tracker))


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit(143), "KILLED")]
)
def test_a_run_that_ends_badly_says_how(folder: Path, client: MlflowClient, error: BaseException, status: str):
    """An exception fails the run, an interruption kills it, and both go on to the caller."""
    with pytest.raises(type(error)), open_run(folder, name="bad") as tracker:
        raise error
    assert run_of(client, tracker).info.status == status


def test_a_killed_process_does_not_leave_a_run_running(folder: Path, client: MlflowClient):
    """SIGTERM closes the run on the way out; after kill -9 the next run of this machine closes it."""
    script = f"""
import sys, time
from pathlib import Path
from captiongen.adapters.mlflow_tracking import open_run
with open_run(Path({str(folder)!r}), name="victim") as tracker:
    print(tracker.run_id, flush=True)
    time.sleep(300)
"""
    processes = [subprocess.Popen([sys.executable, "-c", script], stdout=-1, text=True) for _ in range(2)]
    run_ids = [process.stdout.readline().strip() for process in processes]
    for process, name in zip(processes, (signal.SIGTERM, signal.SIGKILL), strict=True):
        os.kill(process.pid, name)
        process.wait(30)
        process.stdout.close()
    statuses = [client.get_run(run_id).info.status for run_id in run_ids]
    assert statuses == ["KILLED", "RUNNING"]
    with open_run(folder, name="next") as tracker:
        assert client.get_run(run_ids[1]).info.status == "KILLED"
        assert run_of(client, tracker).info.status == "RUNNING"


def left_run(folder: Path, training: str, error: BaseException | None) -> str:
    """The id of a run of a training that ended so."""
    with contextlib.suppress(BaseException), open_run(folder, name="first") as tracker:
        tracker.log_tags({TRAINING_TAG: training})
        tracker.log_metrics({"loss": 2.0}, step=1)
        tracker.flush()
        if error is not None:
            raise error
    return tracker.run_id


@pytest.mark.parametrize("error", [SystemExit(143), ValueError("disk full")])
def test_a_training_that_goes_on_does_so_in_its_run(folder: Path, client: MlflowClient, error: BaseException):
    """Killed or failed, the run counts as running again under the new process, and its metrics go on."""
    left = left_run(folder, f"unfinished-{type(error).__name__}", error)
    with open_run(folder, name="again", unfinished=f"unfinished-{type(error).__name__}") as tracker:
        assert run_of(client, tracker).info.status == "RUNNING"
        with open_run(folder, name="another"):  # which closes runs of dead processes
            assert run_of(client, tracker).info.status == "RUNNING"
        tracker.log_metrics({"loss": 1.0}, step=2)
    assert tracker.run_id == left
    assert run_of(client, tracker).info.status == "FINISHED"
    assert [metric.step for metric in client.get_metric_history(left, "loss")] == [1, 2]


def test_a_run_that_ended_well_or_is_gone_is_not_gone_on_with(folder: Path, client: MlflowClient):
    """A training that has finished, is still at work, or whose run was deleted gets a new run."""
    ids = [left_run(folder, "finished", None), left_run(folder, "deleted", SystemExit(143))]
    client.delete_run(ids[1])
    for training in ("finished", "deleted", "unheard-of"):
        with open_run(folder, name="new", unfinished=training) as tracker:
            tracker.log_tags({TRAINING_TAG: "at work"})
            assert tracker.run_id not in ids
            with open_run(folder, name="second", unfinished="at work") as second:
                assert second.run_id != tracker.run_id


def test_evaluation_goes_on_with_the_run_that_made_the_model(folder: Path, client: MlflowClient):
    """The run is found by the model's hash, keeps its status, and takes a changed param as a tag."""
    with open_run(folder, name="train") as trained:
        trained.log_tags({MODEL_TAG: "a1" * 32})
        trained.log_params({"seed": 0})
    with continue_run(folder, "a1" * 32) as tracker:
        tracker.log_metrics({"test_cider": 58.5}, step=0)
        tracker.log_params({"seed": 1, "split": "test"})
    run = run_of(client, tracker)
    assert tracker.run_id == trained.run_id
    assert (run.info.status, run.data.metrics["test_cider"]) == ("FINISHED", 58.5)
    assert (run.data.params, run.data.tags["seed"]) == ({"seed": "0", "split": "test"}, "1")


def test_a_model_from_a_cache_gets_a_run_of_its_own_once(folder: Path, client: MlflowClient):
    """Where no run made the model, one is made, marked, told what is known, and found the next time."""
    told: list[str] = []
    for _ in range(2):
        with continue_run(folder, "b2" * 32, restore=lambda tracker: told.append(tracker.run_id)) as tracker:
            pass
    run = run_of(client, tracker)
    assert told == [tracker.run_id]
    assert run.data.tags["captiongen.restored_from_cache"] == "true"
    assert run.info.status == "FINISHED"
    assert find_run(client, folder, "b2" * 32) == tracker.run_id


@pytest.mark.slow
def test_processes_that_meet_an_empty_database_all_get_through(tmp_path: Path):
    """Migrations run once, under a lock; without it they fail each other."""
    script = f"""
from pathlib import Path
from captiongen.adapters.mlflow_store import experiment_id, open_client
project = Path({str(tmp_path)!r})
print(experiment_id(open_client(project), project))
"""
    command = [sys.executable, "-c", script]
    processes = [subprocess.Popen(command, stdout=-1, stderr=-1, text=True) for _ in range(4)]
    said = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0], said
    assert len({out for out, _ in said}) == 1


def test_a_server_that_is_not_there_is_a_service_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """MLFLOW_TRACKING_URI wins over the project's database, and its trouble is named."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ServiceError, match=r"127\.0\.0\.1"), open_run(tmp_path, name="x"):
        pass
    assert not (tmp_path / ".captiongen/mlflow.db").exists()


def test_artifacts_stay_in_the_project(folder: Path, client: MlflowClient):
    """The experiment's files lie beside its database."""
    found = client.get_experiment(experiment_id(client, folder))
    assert found.artifact_location == (folder / ".captiongen/mlartifacts/captiongen").as_uri()


def test_two_projects_in_one_process_keep_apart(
    tmp_path: Path, folder: Path, client: MlflowClient, give_database: Callable[[Path], None]
):
    """Working in one project leaves no trace of its database for the next one."""
    give_database(tmp_path)
    with continue_run(tmp_path, "c3" * 32):
        pass
    assert find_run(client, folder, "c3" * 32) is None
    assert find_run(open_client(tmp_path), tmp_path, "c3" * 32) is not None
    assert "MLFLOW_TRACKING_URI" not in os.environ


def _system_metrics(run: Run) -> set[str]:
    return {name for name in run.data.metrics if name.startswith("system/")}
