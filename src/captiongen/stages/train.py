"""The stage `train`: processed data in, captioner folder out."""

import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import torch
from filelock import FileLock, Timeout

import captiongen
from captiongen.data.batches import TrainingSet, encode_captions
from captiongen.data.shards import ProcessedData, open_processed
from captiongen.errors import DataError, TrainingError
from captiongen.files import write_atomically
from captiongen.model.captioner import Captioner, build_captioner
from captiongen.model.checkpoint import CaptionerManifest, save_captioner
from captiongen.params import TrainParams
from captiongen.ports import NullTracker, Tracker
from captiongen.text.tokenizer import CaptionTokenizer
from captiongen.training.inputs import load_features, load_pictures
from captiongen.training.loop import Fitted, Trainer
from captiongen.training.selection import DevSelector, limit


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training made."""

    manifest: CaptionerManifest
    fitted: Fitted


def train(
    params: TrainParams,
    *,
    data_folder: Path,
    out_folder: Path,
    report_folder: Path,
    state_folder: Path,
    tracker: Tracker | None = None,
) -> TrainResult:
    """Trains a captioner; a killed run goes on from the last finished epoch.

    Args:
        params: the section `train`.
        data_folder: what `preprocess` wrote.
        out_folder: becomes the captioner folder, replaced atomically at the end.
        report_folder: receives curves.csv and train.json.
        state_folder: caches and snapshots of this machine; safe to delete between runs.
        tracker: receives params, losses, speeds and samples.

    Raises:
        DataError: a split is empty.
        EncoderError: the encoder is unknown or its weights do not fit.
        TrainingError: another trainer is at work in `state_folder`, or the loss is no longer a number.
    """
    tracker = tracker or NullTracker()
    data = open_processed(data_folder)
    for split in ("train", "dev"):
        if not data.counts.get(split):
            raise DataError(
                f"{data_folder}: expected images in split {split}, found none. Look at the manifest's splits."
            )
    with _only_trainer(state_folder):
        snapshots = state_folder / "training" / _identity(params, data)
        fitted, tokenizer = _fit(params, data, state_folder, snapshots, tracker)
        manifest = save_captioner(out_folder, fitted.captioner, tokenizer, _facts(params, data, fitted))
        _report(report_folder, fitted, manifest)
        shutil.rmtree(snapshots, ignore_errors=True)
    tracker.log_tags({"captiongen.model_sha256": manifest.weights_sha256})
    tracker.log_file(report_folder / "curves.csv", folder="training")
    tracker.flush()
    return TrainResult(manifest, fitted)


def _fit(
    params: TrainParams, data: ProcessedData, state_folder: Path, snapshots: Path, tracker: Tracker
) -> tuple[Fitted, CaptionTokenizer]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(params.seed)
    tokenizer = CaptionTokenizer.load(data.tokenizer_path)
    captioner = build_captioner(
        params.encoder,
        params.decoder,
        image_size_px=data.preprocessing.image_size_px,
        vocabulary_size=tokenizer.vocabulary_size,
        max_tokens=params.decode.max_tokens,
    )
    tracker.log_params(_flat(params.model_dump()))
    selector = _selector(params, data, captioner, tokenizer, state_folder, tracker, device)
    trainer = Trainer(
        captioner,
        _training_set(params, data, captioner, tokenizer, state_folder, device),
        params,
        select=selector,
        snapshots=snapshots,
        tracker=tracker,
        device=device,
    )
    return trainer.fit(), tokenizer


def _training_set(
    params: TrainParams,
    data: ProcessedData,
    captioner: Captioner,
    tokenizer: CaptionTokenizer,
    state_folder: Path,
    device: torch.device,
) -> TrainingSet:
    references = data.references("train")
    is_features = params.encoder.training == "frozen"
    cache = state_folder / "cache"
    max_tokens = params.decode.max_tokens
    captions = list(references.values())
    return TrainingSet(
        image_ids=list(references),
        entries=load_features(data, "train", captioner.encoder, cache, device=device)
        if is_features
        else load_pictures(data, "train", cache),
        tokens=encode_captions(captions, tokenizer, max_tokens=max_tokens),
        mirrored_tokens=encode_captions(captions, tokenizer, max_tokens=max_tokens, is_mirrored=True),
        is_features=is_features,
    )


def _selector(
    params: TrainParams,
    data: ProcessedData,
    captioner: Captioner,
    tokenizer: CaptionTokenizer,
    state_folder: Path,
    tracker: Tracker,
    device: torch.device,
) -> DevSelector:
    is_features = params.encoder.training == "frozen"
    cache = state_folder / "cache"
    return DevSelector(
        limit(data.references("dev"), params.selection.max_images),
        load_features(data, "dev", captioner.encoder, cache, device=device)
        if is_features
        else load_pictures(data, "dev", cache),
        is_features=is_features,
        tokenizer=tokenizer,
        decode=params.decode,
        sample_pictures=[row.image_png for row in islice(data.rows("dev"), 8)],
        tracker=tracker,
    )


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


def _identity(params: TrainParams, data: ProcessedData) -> str:
    """Names a training by all that decides its outcome, so that a snapshot of another one is never gone on from."""
    sources = sorted(Path(captiongen.__file__).parent.rglob("*.py"))
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    tokenizer = hashlib.sha256(data.tokenizer_path.read_bytes()).hexdigest()
    facts = [
        params.model_dump_json(),
        data.data_hash,
        str(data.preprocessing),
        dict(data.split_hashes),
        tokenizer,
        code,
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _facts(params: TrainParams, data: ProcessedData, fitted: Fitted) -> dict[str, object]:
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
        "dev_cider": fitted.progress.best_cider,
        "code_version": captiongen.__version__,
    }


def _report(folder: Path, fitted: Fitted, manifest: CaptionerManifest) -> None:
    """Writes curves.csv and train.json; no times, which would make each run's files differ."""
    rows = io.StringIO()
    writer = csv.DictWriter(rows, fieldnames=["epoch", "train_loss", "learning_rate", "dev_cider"], lineterminator="\n")
    writer.writeheader()
    for record in fitted.progress.history:
        writer.writerow({name: "" if value is None else value for name, value in asdict(record).items()})
    write_atomically(folder / "curves.csv", rows.getvalue())
    num_parameters = sum(parameter.numel() for parameter in fitted.captioner.parameters())
    summary = {
        "best_epoch": fitted.progress.best_epoch,
        "dev_cider": fitted.progress.best_cider,
        "num_epochs": fitted.progress.num_epochs_done,
        "is_stopped_early": fitted.is_stopped_early,
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
        else:
            flat[name] = value if isinstance(value, str | int | float | bool) or value is None else str(value)
    return flat
