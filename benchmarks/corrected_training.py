"""How much of what wrong captions cost comes back when they are found by the model that learned them, and dropped.

    python benchmarks/corrected_training.py --project . --work .captiongen/corrected --shares 0.1 0.3 --seeds 0

For each seed and share: a captioner of clean captions, one of captions of which a share was made wrong on purpose, and
one of what is left when the second one audits its own training captions and every proposal above a fixed probability is
accepted. Settings, seed and number of steps are the same. Each is scored by CIDEr-D on the images of dev and test
together, which nothing was chosen by: every phase runs to its last epoch. Differences are paired by image.

A rerun goes on where the last one ended.
"""

import argparse
import json
from pathlib import Path

from corruption import corrupt, write_with_captions

from captiongen.data.shards import ProcessedData, open_processed
from captiongen.files import write_atomically
from captiongen.inference import CaptionEngine, caption_split
from captiongen.metrics.report import score_captions
from captiongen.params import (
    DecodeParams,
    DecoderParams,
    FrozenPhase,
    Params,
    SelectionParams,
    TrainParams,
    load_params,
)
from captiongen.stages.train import train

NUM_EPOCHS = 5


def train_params(project: Path, params: Params, *, seed: int) -> TrainParams:
    """A small decoder on the features of the project's encoder, without choosing an epoch."""
    encoder = params.train.encoder
    return TrainParams(
        seed=seed,
        encoder=encoder.model_copy(update={"weights": str(project / encoder.weights)}),
        decoder=DecoderParams(width=256, num_layers=2, num_heads=4, feedforward_factor=2, dropout=0.1),
        phases=(FrozenPhase(kind="frozen", num_epochs=NUM_EPOCHS, batch_size=16, learning_rate=1e-3),),
        selection=SelectionParams(every_num_epochs=NUM_EPOCHS),
        decode=DecodeParams(num_beams=3, length_penalty=0.8, no_repeat_ngram=2),
    )


def run_arm(
    folder: Path, captions: dict[str, tuple[str, ...]], data: ProcessedData, project: Path, *, seed: int
) -> None:
    """Trains on these captions and scores what comes out, unless that was done before."""
    if (folder / "scores.json").is_file():
        return
    params = load_params(project / "params.yaml")
    write_with_captions(data, captions, folder / "processed", tokenizer=params.preprocess.tokenizer)
    state = folder / "state"
    state.mkdir(parents=True, exist_ok=True)
    if not (state / "cache").exists():
        (state / "cache").symlink_to((project / ".captiongen" / "cache").resolve())
    train(
        train_params(project, params, seed=seed),
        data_folder=folder / "processed",
        out_folder=folder / "captioner",
        report_folder=folder / "report",
        state_folder=state,
    )
    engine = CaptionEngine.load(folder / "captioner")
    images = [image for split in ("dev", "test") for image in caption_split(engine, data, split, batch_size=32)]
    report = score_captions(
        {image.image_id: image.hypotheses[0].caption for image in images},
        {image.image_id: image.references for image in images},
        decoding=engine.manifest.decode.describe(),
        split_hash="",
        num_resamples=1000,
        seed=0,
    )
    cider = report.metrics["cider"]
    found = {
        "cider": [cider.value, cider.low, cider.high],
        "per_image": {scores.image_id: scores.cider for scores in report.per_image},
    }
    write_atomically(folder / "scores.json", json.dumps(found) + "\n")


def main() -> None:
    """Trains and scores all arms, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True, help="project folder with processed data and features")
    parser.add_argument("--work", type=Path, required=True, help="where to keep what is made")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    data = open_processed(options.project / "data" / "processed")
    references = data.references("train")
    for seed in options.seeds:
        run_arm(options.work / f"clean-{seed}", dict(references), data, options.project, seed=seed)
        for share in options.shares:
            corrupted = corrupt(references, share=share, seed=seed)
            run_arm(options.work / f"corrupted-{share}-{seed}", corrupted.captions, data, options.project, seed=seed)


if __name__ == "__main__":
    main()
