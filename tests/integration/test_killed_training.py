"""A training that is killed, over and over and at any moment, ends as one that nobody touched."""

import json
import multiprocessing
import random
import resource
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from captiongen.params import DecodeParams, DecoderParams, EncoderParams, TrainParams
from tests.tiny import tiny_processed
from tests.trained import train_in

pytestmark = pytest.mark.slow

NUM_KILLS = 20
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


def run(data_folder: Path, folder: Path, max_file_bytes: int | None = None) -> None:
    """What the child process does."""
    if max_file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_bytes, max_file_bytes))
    (folder / "started").touch()
    train_in(PARAMS, data_folder, folder)


def start(data_folder: Path, folder: Path, max_file_bytes: int | None = None) -> BaseProcess:
    """Starts a child from a server that has the modules loaded, and waits until it is about to train."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["captiongen.stages.train", "tests.tiny"])
    folder.mkdir(exist_ok=True)
    (folder / "started").unlink(missing_ok=True)
    child = context.Process(target=run, args=(data_folder, folder, max_file_bytes))
    child.start()
    while not (folder / "started").exists():
        assert child.is_alive()
        time.sleep(0.005)
    return child


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for part in ("captioner", "reports") for path in (folder / part).iterdir()}


def partial_files(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if ".part" in path.name]


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_processed(tmp_path_factory.mktemp("processed"))


@pytest.fixture(scope="module")
def untouched(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The folder of a training that nobody touched, and how many seconds it took."""
    folder = tmp_path_factory.mktemp("untouched")
    child = start(data_folder, folder)
    started = time.monotonic()
    child.join()
    assert child.exitcode == 0
    return folder, time.monotonic() - started


def test_twenty_kills_change_nothing(data_folder: Path, untouched: tuple[Path, float], tmp_path: Path):
    """Killed -9 at twenty random moments, in phases and in saves, it ends with the same bytes and nothing half-done."""
    reference, seconds = untouched
    moments = random.Random(0)
    folder, num_kills = tmp_path / "killed", 0
    while True:
        child = start(data_folder, folder)
        # Most lives are short, so that many kills come before the end; an epoch must fit into some of them.
        child.join(moments.uniform(0.0, 0.3 * seconds) if num_kills < NUM_KILLS else None)
        if not child.is_alive():
            break
        child.kill()
        child.join()
        num_kills += 1
    assert child.exitcode == 0
    assert num_kills >= 5, "the training ended before it was killed often enough to tell"
    assert written(folder) == written(reference)
    assert partial_files(folder) == []


def test_a_full_disk_leaves_the_old_snapshot(data_folder: Path, untouched: tuple[Path, float], tmp_path: Path):
    """When a save finds no room the training stops, the last snapshot stays whole, and with room it goes on."""
    reference, seconds = untouched
    folder = tmp_path / "full"
    child = start(data_folder, folder)
    while not list(folder.glob("state/training/*/epoch-0001/snapshot.json")):
        assert child.is_alive()
        time.sleep(0.005)
    child.kill()
    child.join()
    before = {path: path.read_bytes() for path in folder.glob("state/training/*/epoch-0001/*")}
    assert json.loads(next(text for path, text in before.items() if path.name == "snapshot.json"))

    child = start(data_folder, folder, max_file_bytes=10_000)
    child.join(60 + 10 * seconds)
    assert child.exitcode == 1
    assert {path: path.read_bytes() for path in before} == before

    child = start(data_folder, folder)
    child.join()
    assert child.exitcode == 0
    assert written(folder) == written(reference)
    assert partial_files(folder) == []
