"""The stage `train`: processed data in, captioner folder out."""

import csv
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from itertools import compress, islice
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

import captiongen
from captiongen.data.batches import describe_cut
from captiongen.data.shards import ProcessedData, open_processed
from captiongen.errors import DataError, TrainingError
from captiongen.files import write_atomically
from captiongen.inference import CaptionEngine, caption_split
from captiongen.metrics.calibration import fit_calibration
from captiongen.metrics.report import score_captions
from captiongen.model.captioner import Captioner
from captiongen.model.checkpoint import CaptionerManifest, read_manifest, save_captioner, store_calibration
from captiongen.model.reranker import EVIDENCE
from captiongen.params import RerankerParams, SelectionParams, TrainParams
from captiongen.ports import NullTracker, Tracker
from captiongen.text.tokenizer import CaptionTokenizer
from captiongen.training.inputs import load_features, pool
from captiongen.training.phases import PhasedTraining, Trained
from captiongen.training.processes import first_before_others, is_first
from captiongen.training.reranking import fit_weights, train_reranker
from captiongen.training.selection import limit
from captiongen.types import Calibration, Split

_BATCH_SIZE = 32


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training made."""

    manifest: CaptionerManifest
    trained: Trained


def train(
    params: TrainParams,
    *,
    data_folder: Path,
    out_folder: Path,
    report_folder: Path,
    state_folder: Path,
    tracker: Tracker | None = None,
) -> TrainResult:
    """Trains a captioner, phase by phase; a killed run goes on from the last finished epoch.

    Several processes that have joined a group train together (`captiongen.training.processes`): all call this with the
    same arguments but the tracker, the first one writes, and all are given the same result.

    Args:
        params: the section `train`.
        data_folder: what `preprocess` wrote.
        out_folder: becomes the captioner folder, replaced atomically at the end.
        report_folder: receives curves.csv and train.json.
        state_folder: caches and snapshots of this machine; safe to delete between runs.
        tracker: receives params, losses, speeds and samples.

    Raises:
        DataError: a split is empty, or too few training images are shown for a reranker.
        EncoderError: the encoder is unknown or its weights do not fit.
        CheckpointError: the captioner to start from is damaged or of another make.
        TrainingError: another trainer is at work in `state_folder`, or the loss or its gradient is no longer a number.
    """
    tracker = tracker or NullTracker()
    data = open_processed(data_folder)
    for split in ("train", "dev"):
        if not data.counts.get(split):
            raise DataError(
                f"{data_folder}: expected images in split {split}, found none. Look at the manifest's splits."
            )
    if params.reranker is not None:
        _need_two_shown(data)
    with _only_trainer(state_folder) if is_first() else nullcontext():
        tracker.log_params(_flat(params.model_dump()))
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        tokenizer = CaptionTokenizer.load(data.tokenizer_path)
        cut = describe_cut(data.references("train").values(), tokenizer, max_tokens=params.decode.max_tokens)
        if is_first() and cut:
            tqdm.write(cut, sys.stderr)
        training = PhasedTraining(params, data, tokenizer, state_folder=state_folder, tracker=tracker, device=device)
        # Under the lock: a run that is refused is none of this training.
        tracker.log_tags({"captiongen.training": training.name})
        trained = training.run()
        if params.reranker is not None:
            _add_reranker(trained.captioner, params, params.reranker, data, tokenizer, cache=state_folder / "cache")
        with first_before_others():
            if is_first():
                save_captioner(out_folder, trained.captioner, tokenizer, _facts(params, data, trained))
                store_calibration(out_folder, _calibrate(out_folder, data, params.selection, device=device))
            manifest = read_manifest(out_folder)
        if is_first():
            _report(report_folder, trained, manifest)
    tracker.log_tags({"captiongen.model_sha256": manifest.weights_sha256})
    tracker.log_file(report_folder / "curves.csv", folder="training")
    tracker.flush()
    return TrainResult(manifest, trained)


def _is_shown(data: ProcessedData) -> list[bool]:
    """Says of each training image whether it is ever shown: people may have given it the weight 0."""
    weights = data.sampling_weights()
    return [weights.get(image_id, 1.0) > 0 for image_id in data.references("train")]


def _need_two_shown(data: ProcessedData) -> None:
    """Asks before the training what the reranker needs after it."""
    is_shown = _is_shown(data)
    num_shown = sum(is_shown)
    if num_shown < 2:
        raise DataError(
            f"{data.folder}: expected two training images at least that a reranker can learn from, found {num_shown} "
            f"({len(is_shown) - num_shown:,} others have the weight 0 by accepted corrections). Add images, take "
            "weights back (`captiongen corrections undo`), or train without a reranker."
        )


def _add_reranker(
    captioner: Captioner,
    params: TrainParams,
    reranker: RerankerParams,
    data: ProcessedData,
    tokenizer: CaptionTokenizer,
    *,
    cache: Path,
) -> None:
    """Gives the trained captioner its reranker; all processes wait for the features, the first one learns.

    Images that people weighted with 0 are forgotten here too.
    """
    device = captioner.decoder.image_positions.device
    splits: tuple[Split, ...] = ("train", "dev")
    features = {split: load_features(data, split, captioner.encoder, cache, device=device) for split in splits}
    if not is_first():
        return
    captioner.eval()
    is_shown = np.array(_is_shown(data))
    captions = list(compress(data.references("train").values(), is_shown))
    made = train_reranker(reranker, tokenizer, pooled=pool(features["train"])[is_shown], captions=captions)
    dev = limit(data.references("dev"), params.selection.max_images)
    fitted = fit_weights(made, captioner, tokenizer, params.decode, features=features["dev"][: len(dev)], dev=dev)
    told = ", ".join(f"{name} {weight:.2f}" for name, weight in zip(EVIDENCE, fitted, strict=True))
    tqdm.write(f"reranker: weights of the evidence are {told}", sys.stderr)
    captioner.reranker = made


@contextmanager
def _only_trainer(state_folder: Path) -> Iterator[None]:
    """One trainer per project folder; the lock dies with its process, and names it while it lives."""
    state_folder.mkdir(parents=True, exist_ok=True)
    lock, owner = FileLock(state_folder / "trainer.lock"), state_folder / "trainer.pid"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        pid = owner.read_text(encoding="utf-8") if owner.is_file() else "unknown"
        raise TrainingError(
            f"Another trainer (pid {pid}) is at work in {state_folder}. Wait for it, or end it, and try again."
        ) from None
    try:
        write_atomically(owner, str(os.getpid()))
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _facts(params: TrainParams, data: ProcessedData, trained: Trained) -> dict[str, object]:
    return {
        "encoder": params.encoder,
        "decoder": params.decoder,
        "image_size_px": data.preprocessing.image_size_px,
        "resize": data.preprocessing.resize,
        "decode": params.decode,
        "max_tokens": params.decode.max_tokens,
        "dataset": data.dataset,
        "data_hash": data.data_hash,
        "split_hashes": dict(data.split_hashes),
        "dev_cider": trained.best_cider,
        "code_version": captiongen.__version__,
    }


def _calibrate(folder: Path, data: ProcessedData, selection: SelectionParams, *, device: torch.device) -> Calibration:
    """Captions dev as the service will, and holds the probabilities against what people wrote."""
    engine = CaptionEngine.load(folder, device=str(device))
    images = tuple(islice(caption_split(engine, data, "dev", batch_size=_BATCH_SIZE), selection.max_images))
    report = score_captions(
        {image.image_id: image.hypotheses[0].caption for image in images},
        {image.image_id: image.references for image in images},
        decoding=engine.manifest.decode.describe(),
        split_hash=data.split_hashes["dev"],
        num_resamples=1,  # nobody reads these intervals
        seed=0,
    )
    return fit_calibration(images, report.per_image)


def _report(folder: Path, trained: Trained, manifest: CaptionerManifest) -> None:
    """Writes curves.csv and train.json; no times, which would make each run's files differ."""
    rows = io.StringIO()
    writer = csv.DictWriter(
        rows, fieldnames=["epoch", "phase", "train_loss", "learning_rate", "dev_cider", "dev_r2"], lineterminator="\n"
    )
    writer.writeheader()
    for record in trained.history:
        writer.writerow({name: "" if value is None else value for name, value in asdict(record).items()})
    write_atomically(folder / "curves.csv", rows.getvalue())
    num_parameters = sum(parameter.numel() for parameter in trained.captioner.parameters())
    summary = {
        "best_epoch": trained.best_epoch,
        "dev_cider": trained.best_cider,
        "num_epochs": len(trained.history),
        "num_parameters": num_parameters,
        "vocabulary_size": manifest.vocabulary_size,
        "weights_sha256": manifest.weights_sha256,
    }
    write_atomically(folder / "train.json", json.dumps(summary, indent=2) + "\n")


def _flat(tree: dict[str, object], prefix: str = "train") -> dict[str, str | int | float | bool | None]:
    flat: dict[str, str | int | float | bool | None] = {}
    for key, value in tree.items():
        name = f"{prefix}.{key}"
        if isinstance(value, dict):
            flat |= _flat(value, name)
        elif isinstance(value, tuple):
            flat |= _flat({str(index): entry for index, entry in enumerate(value, start=1)}, name)
        else:
            flat[name] = value if isinstance(value, str | int | float | bool) or value is None else str(value)
    return flat
