"""A training in two processes gives what it gives in one, and ends as one."""

import csv
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file

from captiongen.params import DecodeParams, DecoderParams, MatcherParams, RerankerParams, TrainParams
from captiongen.ports import NullTracker
from tests.tiny import tiny_encoder, tiny_processed
from tests.trained import environment_of_commands, train_in

pytestmark = pytest.mark.slow

NUM_PROCESSES = 2
#: Numbers are added in another order. A step is 5e-4.
WEIGHTS_TOLERANCE, LOSS_TOLERANCE = 5e-5, 1e-6
#: A bias of all keys moves no attention: its gradient is rounding, of which AdamW makes whole steps.
WITHOUT_GRADIENT = ("self_attention.query_key_value.bias", "cross_attention.key_value.bias")
AUGMENTATION = {"mirror": True, "min_crop_area": 0.8, "colour": 0.1}


class FatalTracker(NullTracker):
    """Ends its process, as a kill would, when it hears of dev CIDEr for the `num_looks`-th time."""

    def __init__(self, num_looks: int) -> None:
        self._num_looks = num_looks

    def log_metrics(self, metrics, *, step):
        self._num_looks -= "dev_cider" in metrics
        if self._num_looks == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def run_as_one_of_several(
    rank: int, params: TrainParams, data_folder: Path, folder: Path, num_looks: int | None
) -> None:
    """What each process does; `manifest-N` tells what process N was given back."""
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=NUM_PROCESSES)
    result = train_in(params, data_folder, folder, tracker=FatalTracker(num_looks) if rank and num_looks else None)
    (folder / f"manifest-{rank}.json").write_text(result.manifest.model_dump_json())
    torch.distributed.destroy_process_group()


def run_together(
    params: TrainParams, data_folder: Path, folder: Path, *, num_looks: int | None = None
) -> list[int | None]:
    """Trains in two processes and returns their exit codes; the second one may be killed at its `num_looks`-th look."""
    folder.mkdir(exist_ok=True)
    (folder / "store").unlink(missing_ok=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["captiongen.stages.train", "tests.tiny", "timm", "torchvision.transforms.v2"])
    children = [
        context.Process(target=run_as_one_of_several, args=(rank, params, data_folder, folder, num_looks))
        for rank in range(NUM_PROCESSES)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
    return [child.exitcode for child in children]


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_processed(tmp_path_factory.mktemp("processed"))


@pytest.fixture(scope="module")
def params(tmp_path_factory: pytest.TempPathFactory) -> TrainParams:
    """Every kind of phase, a reranker, a last batch of one image, and no dropout, which two processes draw anew."""
    encoder = tiny_encoder(tmp_path_factory.mktemp("weights"))
    return TrainParams(
        encoder=encoder,
        decoder=DecoderParams(width=32, num_layers=1, num_heads=2, dropout=0.0),
        phases=[
            phase | {"precision": "fp32"}  # in half precision another order of sums is another sum
            for phase in (
                {"kind": "distilled", "num_epochs": 1, "batch_size": 5, "teacher": encoder},
                {"kind": "frozen", "num_epochs": 1, "batch_size": 5, "mirror": True, "ema_decay": 0.5},
                {
                    "kind": "finetuned",
                    "num_epochs": 1,
                    "batch_size": 3,
                    "accumulation_steps": 2,
                    "augmentation": AUGMENTATION,
                },
                {"kind": "self_critical", "num_epochs": 1, "batch_size": 5, "learning_rate": 1e-4},
                {"kind": "self_critical", "num_epochs": 1, "batch_size": 5, "learning_rate": 1e-4, "draws": "beams"},
            )
        ],
        decode=DecodeParams(num_beams=2, max_tokens=12, choice="reranked"),
        reranker=RerankerParams(matcher=MatcherParams(width=8, num_epochs=2)),
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, data_folder: Path, params: TrainParams) -> Path:
    """The folder of a training in one process."""
    folder = tmp_path_factory.mktemp("alone")
    train_in(params, data_folder, folder)
    return folder


def snapshots(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    """The weights at the end of every phase, by its name; they are the trained ones also where an earlier epoch won."""
    newest = {path.parent.parent.name: path for path in sorted(folder.glob("state/training/*/epoch-*/model.*"))}
    return {name: load_file(path) for name, path in newest.items()}


def curves(folder: Path) -> list[dict[str, float | str]]:
    """The rows of curves.csv, numbers as numbers."""
    rows = csv.DictReader((folder / "reports" / "curves.csv").read_text().splitlines())
    return [{name: text if name == "phase" or not text else float(text) for name, text in row.items()} for row in rows]


def check_is_that_of(expected_folder: Path, found_folder: Path, *, num_phases: int) -> None:
    """Holds two trainings against each other: losses and dev scores of all epochs, weights of all phases."""
    for found, expected in zip(curves(found_folder), curves(expected_folder), strict=True):
        assert found == pytest.approx(expected, abs=LOSS_TOLERANCE)
    of_expected, of_found = snapshots(expected_folder), snapshots(found_folder)
    assert len(of_expected) == num_phases
    for phase, weights in of_expected.items():
        for name, tensor in weights.items():
            if not name.endswith(WITHOUT_GRADIENT):
                torch.testing.assert_close(
                    of_found[phase][name], tensor, rtol=0, atol=WEIGHTS_TOLERANCE, msg=f"{phase} {name}"
                )


def test_two_processes_give_the_result_of_one(tmp_path, data_folder, params, alone):
    """Losses agree to 1e-6, weights to 5e-5 (a tenth of a step); both processes are given the model that one wrote."""
    assert run_together(params, data_folder, tmp_path) == [0, 0]
    check_is_that_of(alone, tmp_path, num_phases=len(params.phases))
    written = (tmp_path / "captioner" / "manifest.json").read_text()
    for rank in range(NUM_PROCESSES):
        assert json.loads((tmp_path / f"manifest-{rank}.json").read_text()) == json.loads(written)


def test_one_process_goes_on_where_two_were_killed(tmp_path, data_folder, params, alone):
    """A training of two processes of which one was killed writes nothing, and one process brings it to the same end."""
    assert run_together(params, data_folder, tmp_path, num_looks=2) == [1, -signal.SIGKILL]
    assert not list(tmp_path.glob("captioner/*"))
    train_in(params, data_folder, tmp_path)
    check_is_that_of(alone, tmp_path, num_phases=len(params.phases))


def test_resuming_with_dropout_is_exact(tmp_path, data_folder, params):
    """Two processes of which one was killed go on to the same bytes as two that nobody touched."""
    decoder = params.decoder.model_copy(update={"dropout": 0.2})
    params = params.model_copy(update={"decoder": decoder})
    assert run_together(params, data_folder, tmp_path / "untouched") == [0, 0]
    assert run_together(params, data_folder, tmp_path / "killed", num_looks=2) == [1, -signal.SIGKILL]
    assert run_together(params, data_folder, tmp_path / "killed") == [0, 0]
    for name in ("captioner/model.safetensors", "captioner/manifest.json", "reports/curves.csv"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "untouched" / name).read_bytes(), name


@pytest.fixture
def tiny_project(tmp_path: Path, data_folder: Path) -> Path:
    """A project folder whose graph has a training and what comes before it."""
    shutil.copytree(data_folder, tmp_path / "data" / "prepared")
    stages = {
        "preprocess": {
            "cmd": "cp -r data/prepared data/processed",
            "deps": ["data/prepared"],
            "outs": ["data/processed"],
        },
        "train": {
            "cmd": "captiongen train",
            "deps": ["data/processed"],
            "params": ["train"],
            "outs": ["models/captioner"],
            "metrics": ["reports/training/train.json"],
            "plots": ["reports/training/curves.csv"],
        },
    }
    train_params = {
        "encoder": {"name": "test_convnext", "output_stride": 16},
        "decoder": {"width": 32, "num_layers": 1, "num_heads": 2},
        "phases": [{"kind": "finetuned", "num_epochs": 2, "batch_size": 5}],
        "decode": {"num_beams": 2, "max_tokens": 12},
    }
    params = {
        "ingest": {"source": "scenes", "path": "data/raw/scenes", "name": "tiny"},
        "preprocess": {"image_size_px": 64, "resize": "squash"},
        "train": train_params,
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        subprocess.run(command, cwd=tmp_path, env=environment(None), check=True)
    return tmp_path


def environment(num_processes: int | None) -> dict[str, str]:
    chosen = {} if num_processes is None else {"CAPTIONGEN_NUM_PROCESSES": str(num_processes)}
    return environment_of_commands(**chosen)


def call(*command: str, cwd: Path, num_processes: int | None) -> subprocess.CompletedProcess[str]:
    variables = environment(num_processes)
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)


def ready_to_train(project: Path, num_epochs: int, **phase: float) -> Path:
    """The project with its data in place and a longer training ahead."""
    assert call("dvc", "repro", "preprocess", cwd=project, num_processes=None).returncode == 0
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["train"]["phases"][0] |= {"num_epochs": num_epochs, **phase}
    params["train"]["selection"] = {"patience": num_epochs}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    return project


def test_dvc_trains_in_several_processes_and_knows_no_difference(tiny_project):
    """`CAPTIONGEN_NUM_PROCESSES=2 dvc repro` trains, tells each epoch once, and leaves one process nothing to do."""
    process = call("dvc", "repro", cwd=tiny_project, num_processes=2)
    assert process.returncode == 0, process.stderr
    assert process.stderr.count("finetuned 2/2") == 1
    assert process.stdout.count("best epoch") == 1
    again = call("dvc", "repro", "--dry", cwd=tiny_project, num_processes=None)
    assert "Running stage" not in again.stdout


@pytest.mark.parametrize("launcher", ["captiongen", "torchrun"])
def test_an_error_is_told_once(tiny_project, launcher):
    """A loss that is no number in one share ends all processes with one message; our command has its exit code."""
    project = ready_to_train(tiny_project, 30, learning_rate=1e30, max_gradient_norm=1e30)
    commands = {
        "captiongen": ["captiongen", "train"],
        "torchrun": ["torchrun", "--standalone", "--nproc-per-node", "2", "-m", "captiongen", "train"],
    }
    process = call(*commands[launcher], cwd=project, num_processes=2)
    assert process.returncode == {"captiongen": 6, "torchrun": 1}[launcher], process.stderr
    assert len(re.findall(r"error: The (training loss|gradient's norm) became", process.stderr)) == 1


@pytest.mark.parametrize("victim", ["the command", "the first process", "the second process"])
def test_a_kill_ends_all(tiny_project, victim):
    """Whoever is killed -9, nobody is left after some seconds; the command, while it lives, says what happened."""
    project, said = ready_to_train(tiny_project, 500), tiny_project / "stderr.txt"
    with said.open("w") as file:
        command = subprocess.Popen(["captiongen", "train"], cwd=project, env=environment(2), stderr=file)
    while "finetuned 1/500" not in said.read_text():
        assert command.poll() is None, said.read_text()
        time.sleep(0.1)
    launcher = psutil.Process(command.pid)
    trainers = sorted(launcher.children(), key=lambda child: int(child.environ()["RANK"]))
    assert len(trainers) == NUM_PROCESSES
    {"the command": launcher, "the first process": trainers[0], "the second process": trainers[1]}[victim].kill()
    _, left = psutil.wait_procs([launcher, *trainers], timeout=30)
    assert left == []
    if victim != "the command":
        assert launcher.returncode == 6
        assert said.read_text().count("was ended by SIGKILL") == 1
        assert "Traceback" not in said.read_text()
