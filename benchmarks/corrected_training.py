"""How much of what wrong captions cost comes back when they are found by the model that learned them, and corrected.

    python benchmarks/corrected_training.py --project . --work .captiongen/corrected --shares 0.1 0.3

For each share and seed: a captioner of clean captions, one of captions of which a share was made wrong on purpose, and
one of what is left when the stage `audit` looks at the captions with the second one, and all that it proposes with a
fixed probability or more is accepted. Settings, seed and number of steps are the same. Each is scored by CIDEr-D on the
images of dev and test together, which nothing was chosen by: every training runs to its last epoch. Differences are
paired by image.

A rerun goes on where the last one ended.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from corruption import corrupt, write_with_captions

from captiongen.data.corrected import UsableImage, correct
from captiongen.data.corrections import Decision, read_proposals
from captiongen.data.shards import ProcessedData, open_processed
from captiongen.files import write_atomically
from captiongen.inference import CaptionEngine, caption_split
from captiongen.metrics.interval import paired_bootstrap
from captiongen.metrics.report import score_captions
from captiongen.params import (
    AuditParams,
    DecodeParams,
    DecoderParams,
    FrozenPhase,
    SelectionParams,
    TrainParams,
    load_params,
)
from captiongen.stages.audit import AuditResult, audit
from captiongen.stages.train import train

NUM_EPOCHS = 5
#: Proposals of this probability or more are accepted.
ACCEPTED = 0.3
Captions = Mapping[str, Sequence[str]]


class Experiment:
    """One project's data, and a folder of trainings on what was made of its captions.

    Args:
        project: has processed data, and the features of its encoder in its cache.
        work: keeps a folder for each training.
        num_images: how many training images to use, evenly spread over all.
    """

    def __init__(self, project: Path, work: Path, *, num_images: int) -> None:
        self._project, self._work = project, work
        self._params = load_params(project / "params.yaml")
        self._data: ProcessedData = open_processed(project / "data" / "processed")
        all_captions = self._data.references("train")
        step = max(1, len(all_captions) // num_images)
        self.captions = dict(list(all_captions.items())[::step][:num_images])

    def train(self, name: str, captions: Captions, *, seed: int) -> Path:
        """Trains a small decoder on these captions and cached features; returns the captioner's folder."""
        folder = self._work / name
        if (folder / "captioner").is_dir():
            return folder / "captioner"
        write_with_captions(self._data, captions, folder / "processed", tokenizer=self._params.preprocess.tokenizer)
        self._share_cache(folder / "state")
        encoder = self._params.train.encoder
        params = TrainParams(
            seed=seed,
            encoder=encoder.model_copy(update={"weights": str(self._project / encoder.weights)}),
            decoder=DecoderParams(width=256, num_layers=2, num_heads=4, feedforward_factor=2, dropout=0.1),
            phases=(FrozenPhase(kind="frozen", num_epochs=NUM_EPOCHS, batch_size=16, learning_rate=1e-3),),
            selection=SelectionParams(every_num_epochs=NUM_EPOCHS),
            decode=DecodeParams(num_beams=3, length_penalty=0.8, no_repeat_ngram=2),
        )
        train(
            params,
            data_folder=folder / "processed",
            out_folder=folder / "captioner",
            report_folder=folder / "report",
            state_folder=folder / "state",
        )
        return folder / "captioner"

    def score(self, name: str) -> dict[str, float]:
        """CIDEr-D by image, over dev and test together."""
        path = self._work / name / "cider.json"
        if not path.is_file():
            engine = CaptionEngine.load(self._work / name / "captioner")
            images = [
                image for split in ("dev", "test") for image in caption_split(engine, self._data, split, batch_size=32)
            ]
            report = score_captions(
                {image.image_id: image.hypotheses[0].caption for image in images},
                {image.image_id: image.references for image in images},
                decoding=engine.manifest.decode.describe(),
                split_hash=self._data.data_hash,
                num_resamples=1,
                seed=0,
            )
            write_atomically(path, json.dumps({one.image_id: one.cider for one in report.per_image}))
        scores: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
        return scores

    def audit(self, name: str, captioner: Path, *, out: str = "audit") -> AuditResult:
        """Audits the captions of a training with a captioner; writes the proposals."""
        folder = self._work / name
        return audit(
            AuditParams(min_probability=ACCEPTED),
            model_folder=captioner,
            data_folder=folder / "processed",
            interim_folder=self._project / "data" / "interim",
            validation_report=self._project / "reports" / "validation" / "validation.json",
            state_folder=folder / "state",
            out_folder=folder / out,
            proposals=folder / f"{out}.jsonl",
        )

    def corrected(self, name: str, captions: Captions) -> dict[str, tuple[str, ...]]:
        """The captions after all proposals of their audit were accepted, as `preprocess` makes them."""
        now = datetime.now(UTC)
        decisions = [
            Decision(one, now) for one in read_proposals(self._work / name / "audit.jsonl") if one.score >= ACCEPTED
        ]
        images = [UsableImage(image_id, "", "", "", tuple(texts), "train") for image_id, texts in captions.items()]
        left = correct(images, decisions, pictures=Path(), near_duplicate_distance=0)
        return {image.image_id: image.captions for image in left.images}

    def _share_cache(self, state: Path) -> None:
        state.mkdir(parents=True, exist_ok=True)
        if not (state / "cache").is_symlink():
            (state / "cache").symlink_to((self._project / ".captiongen" / "cache").resolve())


def main() -> None:
    """Trains and scores what is not there yet, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True, help="project folder")
    parser.add_argument("--work", type=Path, required=True, help="where to keep what is made")
    parser.add_argument("--num-images", type=int, default=6000, help="of the train split")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    experiment = Experiment(options.project, options.work, num_images=options.num_images)
    for seed in options.seeds:
        clean = f"clean-{seed}"
        experiment.train(clean, experiment.captions, seed=seed)
        for share in options.shares:
            wrong = corrupt(experiment.captions, share=share, seed=seed).captions
            corrupted, corrected = f"corrupted-{share}-{seed}", f"corrected-{share}-{seed}"
            captioner = experiment.train(corrupted, wrong, seed=seed)
            if not (options.work / corrupted / "audit.jsonl").is_file():
                experiment.audit(corrupted, captioner)
            experiment.train(corrected, experiment.corrected(corrupted, wrong), seed=seed)
            tell(share, seed, *(experiment.score(name) for name in (clean, corrupted, corrected)))


def tell(
    share: float, seed: int, clean: dict[str, float], corrupted: dict[str, float], corrected: dict[str, float]
) -> None:
    """Prints the scores of one share and seed, and how they differ."""
    names = list(clean)
    values = [[scores[name] for name in names] for scores in (clean, corrupted, corrected)]
    lost = paired_bootstrap(values[0], values[1], num_resamples=2000, seed=0)
    regained = paired_bootstrap(values[2], values[1], num_resamples=2000, seed=0)
    means = "  ".join(
        f"{word} {sum(of) / len(of):.1f}" for word, of in zip(("clean", "wrong", "corrected"), values, strict=True)
    )
    print(f"share {share} seed {seed}, {len(names):,} images: {means}")
    print(f"  lost     {lost.mean:5.1f} [{lost.low:.1f}, {lost.high:.1f}]")
    print(f"  regained {regained.mean:5.1f} [{regained.low:.1f}, {regained.high:.1f}]")


if __name__ == "__main__":
    main()
