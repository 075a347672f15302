"""How much of what wrong captions cost comes back when they are found by the model that learned them, and corrected.

    python benchmarks/corrected_training.py --project . --work .captiongen/corrected --shares 0.1 0.3

For each share and seed: a captioner of clean captions; one of captions of which a share was made wrong on purpose; and
two of what the stage `audit` proposes, with a fixed probability or more, when it looks at the captions with the second
one. Either all of it is accepted, which drops captions; or a person looks at each, keeps the right ones and rewrites
the wrong ones, for which the caption stands in that was there before it was made wrong. Settings, seed and number of
epochs are the same. Each is scored by CIDEr-D on the images of dev and test together, which nothing was chosen by:
every training runs to its last epoch. Beside it is the log-probability of what people wrote of these images, per word
that all know, which tells small differences more surely. Differences are paired by image.

A rerun goes on where the last one ended.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from corruption import corrupt, write_with_captions

from captiongen.data.corrected import UsableImage, correct
from captiongen.data.corrections import Decision, Kind, Proposal, read_proposals
from captiongen.data.shards import ProcessedData, open_processed
from captiongen.files import write_atomically
from captiongen.inference import CaptionEngine, caption_split
from captiongen.likelihood import CaptionLikelihood
from captiongen.metrics.interval import FloatArray, paired_bootstrap
from captiongen.metrics.report import score_captions
from captiongen.model.checkpoint import load_captioner
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
from captiongen.training.inputs import load_features

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

    def prepare(self, name: str, captions: Captions) -> None:
        """Writes the processed data of a training, where they are not there yet."""
        folder = self._work / name
        if not (folder / "processed" / "index.json").is_file():
            write_with_captions(self._data, captions, folder / "processed", tokenizer=self._params.preprocess.tokenizer)
        self._share_cache(folder / "state")

    def train(self, name: str, captions: Captions, *, seed: int) -> Path:
        """Trains a small decoder on these captions and cached features; returns the captioner's folder."""
        folder = self._work / name
        if (folder / "captioner").is_dir():
            return folder / "captioner"
        self.prepare(name, captions)
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

    def likelihood(self, name: str) -> dict[str, FloatArray]:
        """Log-probability of each word that people wrote of an image of dev and test; nan where it is not known."""
        path = self._work / name / "likelihood.npz"
        if not path.is_file():
            loaded = load_captioner(self._work / name / "captioner")
            ask = CaptionLikelihood(loaded.captioner.decoder, loaded.tokenizer)
            found: dict[str, FloatArray] = {}
            for split in ("dev", "test"):
                captions = self._data.references(split)
                features = load_features(
                    self._data, split, loaded.captioner.encoder, self._cache, device=torch.device("cpu")
                )
                for start in range(0, len(captions), 32):
                    texts = dict(list(captions.items())[start : start + 32])
                    maps = torch.from_numpy(np.array(features[start : start + 32]))
                    for image_id, of_one in zip(texts, ask(maps, list(texts.values())), strict=True):
                        words = [
                            np.where(np.equal(one.tokens, loaded.tokenizer.unk_id), np.nan, one.log_probabilities)
                            for one in of_one
                        ]
                        found[image_id] = np.concatenate(words)
            np.savez(path, **found)
        with np.load(path) as kept:
            return dict(kept)

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

    def dropped(self, name: str, captions: Captions) -> dict[str, tuple[str, ...]]:
        """The captions after all proposals of their audit were accepted."""
        return self._corrected(captions, self._proposed(name))

    def rewritten(self, name: str, captions: Captions, right: Captions) -> dict[str, tuple[str, ...]]:
        """The captions after a person, who knows the right ones, rewrote those that were proposed and are wrong."""
        proposals = [
            Proposal(Kind.RELABEL_CAPTION, one.image_ids, one.source, one.reason, one.score, one.caption, instead)
            for one in self._proposed(name)
            for image_id in one.image_ids
            for found, instead in zip(captions[image_id], right[image_id], strict=True)
            if found == one.caption != instead
        ]
        return self._corrected(captions, proposals)

    def _proposed(self, name: str) -> list[Proposal]:
        return [one for one in read_proposals(self._work / name / "audit.jsonl") if one.score >= ACCEPTED]

    def _corrected(self, captions: Captions, accepted: Sequence[Proposal]) -> dict[str, tuple[str, ...]]:
        """The captions as `preprocess` makes them."""
        decisions = [Decision(one, datetime.now(UTC)) for one in accepted]
        images = [UsableImage(image_id, "", "", "", tuple(texts), "train") for image_id, texts in captions.items()]
        left = correct(images, decisions, pictures=Path(), near_duplicate_distance=0)
        return {image.image_id: image.captions for image in left.images}

    @property
    def _cache(self) -> Path:
        return self._project / ".captiongen" / "cache"

    def _share_cache(self, state: Path) -> None:
        state.mkdir(parents=True, exist_ok=True)
        if not (state / "cache").is_symlink():
            (state / "cache").symlink_to(self._cache.resolve())


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
            corrupted, dropped, rewritten = (f"{arm}-{share}-{seed}" for arm in ("corrupted", "corrected", "rewritten"))
            captioner = experiment.train(corrupted, wrong, seed=seed)
            if not (options.work / corrupted / "audit.jsonl").is_file():
                experiment.audit(corrupted, captioner)
            experiment.train(dropped, experiment.dropped(corrupted, wrong), seed=seed)
            experiment.train(rewritten, experiment.rewritten(corrupted, wrong, experiment.captions), seed=seed)
            names = (clean, corrupted, dropped, rewritten)
            tell(f"share {share} seed {seed}: CIDEr-D", [list(experiment.score(name).values()) for name in names])
            tell(
                f"share {share} seed {seed}: nats per word",
                common_means([experiment.likelihood(name) for name in names]),
            )


def common_means(likelihoods: Sequence[dict[str, FloatArray]]) -> list[list[float]]:
    """Mean log-probability of a word by image, over words that all captioners know."""
    first, *_ = likelihoods
    means: list[list[float]] = [[] for _ in likelihoods]
    for image_id in first:
        of_image = np.stack([each[image_id] for each in likelihoods])
        for of_one, mean in zip(means, np.nanmean(of_image + 0 * of_image.sum(axis=0), axis=1), strict=True):
            of_one.append(float(mean))
    return means


def tell(title: str, values: Sequence[Sequence[float]]) -> None:
    """Prints what was lost and regained, by the values of each image: of clean, wrong, dropped, rewritten captions."""
    means = [sum(of) / len(of) for of in values]
    print(f"{title}: clean {means[0]:.2f}, wrong {means[1]:.2f}, dropped {means[2]:.2f}, rewritten {means[3]:.2f}")
    for word, better in (("lost", values[0]), ("by dropping", values[2]), ("by rewriting", values[3])):
        found = paired_bootstrap(better, values[1], num_resamples=2000, seed=0)
        print(f"  {word:<12} {found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]")


if __name__ == "__main__":
    main()
