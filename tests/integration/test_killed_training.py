"""A training that is killed, over and over and at any moment, ends as one that nobody touched."""

import json
import multiprocessing
import random
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from mlflow import MlflowClient

from captiongen.adapters.mlflow_store import experiment_id, open_client
from captiongen.files import sha256_of_file
from captiongen.params import DecodeParams, DecoderParams, EncoderParams, TrainParams
from captiongen.ports import NullTracker
from tests.tiny import tiny_processed
from tests.trained import environment_of_commands, train_in, write_training_project

pytestmark = pytest.mark.slow

NUM_KILLS = 20
STEPS_PER_EPOCH = 4
#: More than MLflow's database and any weights need, less than the optimiser's state of the first phase.
FULL_BYTES = 1_500_000
PARAMS = TrainParams(
    encoder=EncoderParams(name="test_convnext", output_stride=16),
    decoder=DecoderParams(width=32, num_layers=1, num_heads=2),
    phases=[
        {"kind": "finetuned", "num_epochs": 4, "batch_size": 4, "augmentation": {"mirror": True, "min_crop_area": 0.8}},
        {"kind": "frozen", "num_epochs": 4, "batch_size": 4, "ema_decay": 0.5},
        {"kind": "self_critical", "num_epochs": 2, "batch_size": 4, "learning_rate": 1e-4},
    ],
    selection={"patience": 10},
    decode=DecodeParams(num_beams=2, max_tokens=12),
)


class StepsTold(NullTracker):
    """Writes down each step once it is made."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """A line per step."""
        if "train_loss" in metrics:
            with self._path.open("a") as file:
                file.write(f"{step}\n")


@dataclass(frozen=True)
class Life:
    """From a start to a kill: the first and last step that were made, if any, and whether a save was cut short."""

    steps: tuple[int, int] | None
    was_saving: bool


def run(data_folder: Path, folder: Path) -> None:
    """What the child process does."""
    (folder / "started").touch()
    with (folder / "said.txt").open("a") as sys.stderr:
        train_in(PARAMS, data_folder, folder, tracker=StepsTold(folder / "steps.txt"))


def start(data_folder: Path, folder: Path) -> BaseProcess:
    """Starts a child from a server that has the modules loaded, and waits until it is about to train."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["captiongen.stages.train", "tests.tiny", "timm", "torchvision.transforms.v2"])
    folder.mkdir(exist_ok=True)
    (folder / "started").unlink(missing_ok=True)
    child = context.Process(target=run, args=(data_folder, folder))
    child.start()
    while not (folder / "started").exists():
        assert child.is_alive()
        time.sleep(0.005)
    return child


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for part in ("captioner", "reports") for path in (folder / part).iterdir()}


def partial_files(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if ".part" in path.name]


def is_saving(folder: Path) -> bool:
    return any(folder.glob("state/training/*/.epoch-*.part"))


def live(data_folder: Path, folder: Path, wait: Callable[[BaseProcess], None]) -> Life | None:
    """Trains until `wait` returns and kills the training; None when that had ended by then."""
    steps = folder / "steps.txt"
    steps.unlink(missing_ok=True)
    child = start(data_folder, folder)
    wait(child)
    if not child.is_alive():
        assert child.exitcode == 0, (folder / "said.txt").read_text()
        return None
    child.kill()
    child.join()
    made = [int(line) for line in steps.read_text().splitlines()] if steps.exists() else []
    return Life((made[0], made[-1]) if made else None, is_saving(folder))


def lives(
    data_folder: Path, folder: Path, num_kills: int, epoch_seconds: float, moments: random.Random
) -> Iterator[Life]:
    """One life of a training after the other, until it ends; no more than `num_kills` of them are cut short."""

    def until_some_moment(child: BaseProcess) -> None:
        while child.is_alive() and not (folder / "steps.txt").exists():
            time.sleep(0.001)
        child.join(moments.uniform(0.0, 2.0 * epoch_seconds))

    def until_a_save(child: BaseProcess) -> None:
        while child.is_alive() and not is_saving(folder):
            time.sleep(0.0005)

    def while_it_starts(child: BaseProcess) -> None:
        child.join(moments.uniform(0.0, epoch_seconds))

    waits = [until_some_moment, until_some_moment, until_some_moment, until_a_save, while_it_starts]
    for number in range(num_kills):
        life = live(data_folder, folder, waits[number % len(waits)])
        if life is None:
            return
        yield life
    assert live(data_folder, folder, lambda child: child.join()) is None


def steps_lost(life_after_life: list[Life]) -> list[int]:
    """Steps that were made once more, for each kill of a training that had made any."""
    with_steps = [life.steps for life in life_after_life if life.steps]
    return [last + 1 - first for (_, last), (first, _) in pairwise(with_steps)]


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_processed(tmp_path_factory.mktemp("processed"))


@pytest.fixture(scope="module")
def untouched(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The folder of a training that nobody touched, and how many seconds an epoch took."""
    folder = tmp_path_factory.mktemp("untouched")
    child = start(data_folder, folder)
    while not (folder / "steps.txt").exists():
        assert child.is_alive()
        time.sleep(0.005)
    started = time.monotonic()
    child.join()
    assert child.exitcode == 0
    return folder, (time.monotonic() - started) / sum(phase.num_epochs for phase in PARAMS.phases)


def test_twenty_kills_change_nothing(data_folder: Path, untouched: tuple[Path, float], tmp_path: Path):
    """Killed -9 at twenty moments, in saves too, it loses an epoch at most each time and ends with the same bytes."""
    reference, epoch_seconds = untouched
    moments, kills = random.Random(0), []
    while len(kills) < NUM_KILLS:  # a training that ends before is followed by another
        folder = tmp_path / f"after-{len(kills)}-kills"
        found = list(lives(data_folder, folder, NUM_KILLS - len(kills), epoch_seconds, moments))
        kills += found
        print(f"{len(found)} kills, after steps {[life.steps for life in found]}, made twice: {steps_lost(found)}")
        assert max(steps_lost(found), default=0) <= STEPS_PER_EPOCH
        assert written(folder) == written(reference)
        assert partial_files(folder) == []
        assert "damaged" not in (folder / "said.txt").read_text()
    num_in_saves = sum(life.was_saving for life in kills)
    print(f"{len(kills)} kills, {num_in_saves} of them in a save; an epoch takes {epoch_seconds:.2f} s")
    assert num_in_saves >= 1


def train_command(project: Path, *, is_disk_full: bool = False) -> subprocess.Popen[str]:
    """`captiongen train`, told in said.txt of the project."""

    def limit_files() -> None:
        if is_disk_full:
            resource.setrlimit(resource.RLIMIT_FSIZE, (FULL_BYTES, FULL_BYTES))

    with (project / "said.txt").open("w") as said:
        return subprocess.Popen(
            ["captiongen", "train"],
            cwd=project,
            env=environment_of_commands(),
            stdout=said,
            stderr=said,
            text=True,
            preexec_fn=limit_files,
        )


def kill_after_epoch(project: Path, number: int) -> str:
    """Trains, kills -9 when that epoch of the first phase is told, and returns what was said."""
    said, command = project / "said.txt", train_command(project)
    while f"finetuned {number}/4" not in said.read_text():
        assert command.poll() is None, said.read_text()
        time.sleep(0.005)
    command.kill()
    command.wait()
    return said.read_text()


def train_to_the_end(project: Path) -> str:
    command = train_command(project)
    assert command.wait() == 0, (project / "said.txt").read_text()
    return (project / "said.txt").read_text()


def runs_by_age(client: MlflowClient, project: Path) -> list[tuple[str, str]]:
    """Id and status of all runs, the first one first."""
    runs = client.search_runs([experiment_id(client, project)], order_by=["attributes.start_time ASC"])
    return [(run.info.run_id, run.info.status) for run in runs]


def test_a_killed_command_goes_on_in_its_mlflow_run(
    data_folder: Path, untouched: tuple[Path, float], tmp_path: Path, give_database: Callable[[Path], None]
):
    """`captiongen train` killed -9 goes on after its last epoch, in one run with every step, to the same weights."""
    project = write_training_project(tmp_path / "project", PARAMS, data_folder)
    give_database(project)
    before = kill_after_epoch(project, 2)
    client = open_client(project)
    [(run_id, status)] = runs_by_age(client, project)
    assert status == "RUNNING"
    after = train_to_the_end(project)
    assert runs_by_age(client, project) == [(run_id, "FINISHED")]
    num_epochs = sum(phase.num_epochs for phase in PARAMS.phases)
    steps = [metric.step for metric in client.get_metric_history(run_id, "train_loss")]
    assert sorted(set(steps)) == list(range(num_epochs * STEPS_PER_EPOCH))
    assert re.search(r"phase finetuned: going on after epoch [23] of 4", after)
    assert "finetuned 2/4" not in after
    weights = "model.safetensors"
    sha256, expected = (
        sha256_of_file(path) for path in (project / "models/captioner" / weights, untouched[0] / "captioner" / weights)
    )
    assert sha256 == expected
    print(before, after, f"killed {sha256}", f"untouched {expected}", sep="\n")
    train_to_the_end(project)  # nothing is left to do, and a run that has ended stays as it is
    assert [status for _, status in runs_by_age(client, project)] == ["FINISHED", "FINISHED"]


def test_a_full_disk_leaves_the_old_snapshot(
    data_folder: Path, untouched: tuple[Path, float], tmp_path: Path, give_database: Callable[[Path], None]
):
    """A save without room ends the command with 8 and one line; the old snapshot is whole, and with room it goes on."""
    reference, _ = untouched
    project = write_training_project(tmp_path / "project", PARAMS, data_folder)
    give_database(project)
    kill_after_epoch(project, 1)
    [phase] = project.glob(".captiongen/training/1-finetuned-*")
    before = {path: path.read_bytes() for path in phase.glob("epoch-0001/*")}
    assert json.loads(next(text for path, text in before.items() if path.name == "snapshot.json"))

    command = train_command(project, is_disk_full=True)
    assert command.wait() == 8
    said = (project / "said.txt").read_text()
    print(said)
    [cause] = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "could not be written: File too large" in cause
    assert "Traceback" not in said
    assert {path: path.read_bytes() for path in before} == before

    train_to_the_end(project)
    for name in ("model.safetensors", "manifest.json"):
        assert (project / "models/captioner" / name).read_bytes() == (reference / "captioner" / name).read_bytes()
    assert partial_files(project) == []
