"""Snapshots of a training that a killed process can go on from: safetensors + JSON, hashed, written atomically.

An epoch's end is the only moment that is stored. Data order and dropout are drawn from the seed and the epoch alone, so
a resumed training repeats the uninterrupted one exactly on a CPU in fp32.
"""

import json
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn, optim

from captiongen.files import atomic_folder, sha256_of_file

#: Two are kept: the newest may turn out to be damaged.
NUM_KEPT = 2


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One row of the training curves; of the dev figures an epoch has the one it was judged by, or none.

    Epochs count through all phases; what `train_loss` is depends on the phase (`captiongen.training.objective`).
    """

    epoch: int
    phase: str
    train_loss: float
    learning_rate: float
    dev_cider: float | None = None
    dev_r2: float | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a phase got; the best epoch, by what the phase is judged by, may be one of an earlier phase."""

    num_epochs_done: int
    best_epoch: int
    best_score: float
    num_without_gain: int
    history: tuple[EpochRecord, ...]


@dataclass(frozen=True, slots=True)
class TrainingState:
    """The objects that a snapshot saves and restores in place."""

    model: nn.Module
    average: nn.Module | None
    optimiser: optim.Optimizer


def save_snapshot(folder: Path, state: TrainingState, progress: Progress, best: Mapping[str, Tensor]) -> None:
    """Writes one snapshot and drops all but the newest `NUM_KEPT`."""
    with atomic_folder(folder / f"epoch-{progress.num_epochs_done:04d}") as part:
        save_file(_plain(state.model.state_dict()), part / "model.safetensors")
        save_file(_plain(best), part / "best.safetensors")
        save_file(_plain(_optimiser_tensors(state.optimiser)), part / "optimiser.safetensors")
        if state.average is not None:
            save_file(_plain(state.average.state_dict()), part / "average.safetensors")
        hashes = {file.name: sha256_of_file(file) for file in sorted(part.glob("*.safetensors"))}
        record = {"progress": asdict(progress), "sha256": hashes}
        (part / "snapshot.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    for old in _snapshots(folder)[NUM_KEPT:]:
        shutil.rmtree(old)


def load_newest_snapshot(folder: Path, state: TrainingState) -> tuple[Progress, dict[str, Tensor]] | None:
    """Restores the newest snapshot that is whole into `state`; a damaged one is removed, with a warning.

    Returns:
        The progress and the best weights so far; None when there is nothing to go on from.
    """
    for candidate in _snapshots(folder):
        record = _intact(candidate)
        if record is None:
            warnings.warn(f"{candidate} is damaged; going on from the snapshot before it", stacklevel=2)
            shutil.rmtree(candidate)  # else it would count among the newest, and push out whole ones
            continue
        state.model.load_state_dict(load_file(candidate / "model.safetensors"))
        if state.average is not None:
            state.average.load_state_dict(load_file(candidate / "average.safetensors"))
        _restore_optimiser(state.optimiser, load_file(candidate / "optimiser.safetensors"))
        raw = record["progress"]
        progress = Progress(**{**raw, "history": tuple(EpochRecord(**row) for row in raw["history"])})
        return progress, load_file(candidate / "best.safetensors")
    return None


def _snapshots(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-*"), reverse=True)


def _intact(folder: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads((folder / "snapshot.json").read_text(encoding="utf-8"))
        is_whole = all(sha256_of_file(folder / name) == expected for name, expected in record["sha256"].items())
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    return record if is_whole else None


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # safetensors wants contiguous tensors that share no memory.
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def _optimiser_tensors(optimiser: optim.Optimizer) -> dict[str, Tensor]:
    state = optimiser.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value) for index, slots in state.items() for name, value in slots.items()
    }


def _restore_optimiser(optimiser: optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
