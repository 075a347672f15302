"""What `preprocess` and `evaluate` leave behind, of a few tiny pictures: the input of the analysis."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tiny

from captiongen.data.captions_table import write_captions
from captiongen.data.images import prepare
from captiongen.data.manifest import ManifestRow, write_manifest
from captiongen.data.shards import ProcessedData, ShardRow, encode_png, split_hash, write_index, write_shards
from captiongen.metrics.report import score_captions, write_report
from captiongen.model.checkpoint import read_manifest as read_captioner_manifest
from captiongen.params import AnalyseParams
from captiongen.stages.analyse import AnalysisResult, analyse
from captiongen.types import CaptionedImage, Hypothesis, ImageScores, Preprocessing, Split, WordScore


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What lies where."""

    model_folder: Path
    data_folder: Path
    evaluation_folder: Path
    manifest: Path
    state_folder: Path
    images: tuple[CaptionedImage, ...]

    def analyse(self, out_folder: Path, params: AnalyseParams | None = None, **more: Path) -> AnalysisResult:
        """Runs the stage on it."""
        return analyse(
            params or AnalyseParams(),
            model_folder=self.model_folder,
            evaluation_folder=self.evaluation_folder,
            data_folder=self.data_folder,
            manifest=self.manifest,
            split="test",
            state_folder=self.state_folder,
            out_folder=out_folder,
            **more,
        )


def hypothesis(caption: str, probabilities: Sequence[float] | float = 0.9, *, is_complete: bool = True) -> Hypothesis:
    """A caption with these word probabilities; its end, if it has one, has 0.9."""
    words = caption.split()
    if isinstance(probabilities, float):
        probabilities = [probabilities] * len(words)
    scored = tuple(WordScore(word, value) for word, value in zip(words, probabilities, strict=True))
    log_probability = sum(math.log(word.probability) for word in scored)
    log_probability += math.log(0.9) if is_complete else 0.0
    return Hypothesis(caption, scored, log_probability, log_probability, is_complete)


def captioned(image_id: str, *hypotheses: Hypothesis, references: tuple[str, ...] = ("a dog runs",)) -> CaptionedImage:
    """An evaluated image."""
    return CaptionedImage(image_id, hypotheses, references)


def scored(image_id: str, cider: float, human_cider: float | None = 80.0) -> ImageScores:
    """Metrics of an image of which only CIDEr matters."""
    return ImageScores(image_id, cider=cider, bleu_4=10.0, rouge_l=30.0, human_cider=human_cider)


def evaluated(folder: Path, *, has_reranker: bool = False) -> Evaluated:
    """Eight pictures; the captions of the red ones are wrong, one repeats itself, one was cut off."""
    model_folder = tiny.tiny_model_folder(folder / "model", has_reranker=has_reranker)
    images = [_image(colour, thing) for colour in tiny.COLOURS for thing in tiny.THINGS]
    rows = [_row(f"{split}_{colour}_{thing}.png", split, colour, thing)
            for split in ("train", "test") for colour in tiny.COLOURS for thing in tiny.THINGS]  # fmt: skip
    data_folder, evaluation_folder = folder / "processed", folder / "evaluation"
    written = write_shards(rows, data_folder / "shards", images_per_shard=4)
    hashes = {
        split: split_hash(
            {row.image_id: row.captions for row in rows if row.split == split}, tiny.picture_sha256s(rows)
        )
        for split in ("train", "test")
    }
    preprocessing = Preprocessing(tiny.IMAGE_SIZE_PX, "squash")
    write_index(
        ProcessedData(data_folder, "tiny", preprocessing, written.counts, hashes, "0" * 64, written.picture_hashes)
    )
    manifest = folder / "manifest.parquet"
    write_manifest(manifest, [_manifest_row(row) for row in rows])
    report = score_captions(
        {image.image_id: image.hypotheses[0].caption for image in images},
        {image.image_id: image.references for image in images},
        decoding="beam3",
        split_hash=hashes["test"],
        num_resamples=100,
        seed=0,
    )
    write_report(evaluation_folder / "metrics.json", report)
    facts = {
        "model_sha256": read_captioner_manifest(model_folder).weights_sha256,
        "split": "test",
        "split_hash": hashes["test"],
    }
    write_captions(evaluation_folder / "captions.parquet", images, facts=facts)
    return Evaluated(model_folder, data_folder, evaluation_folder, manifest, folder / "state", tuple(images))


def _image(colour: str, thing: str) -> CaptionedImage:
    best = hypothesis(f"a blue dog dog <b>{thing}</b>" if colour == "red" else f"a {colour} {thing}")
    if (colour, thing) == ("blue", "box"):
        best = hypothesis("a box a box a box", 0.3, is_complete=False)
    references = tiny.tiny_captions(colour, thing)
    return captioned(f"test_{colour}_{thing}.png", best, hypothesis(f"one {thing}", 0.5), references=references)


def _row(image_id: str, split: Split, colour: str, thing: str) -> ShardRow:
    pixels = prepare(tiny.tiny_picture(colour, thing), Preprocessing(tiny.IMAGE_SIZE_PX, "squash"))
    return ShardRow(image_id, split, encode_png(pixels), tiny.tiny_captions(colour, thing))


def _manifest_row(row: ShardRow) -> ManifestRow:
    """Of a picture that was half as high as wide."""
    return ManifestRow(
        row.image_id, row.image_id, "0" * 64, "0" * 16, 1, 200, 100, "RGB", "PNG", True, "", row.captions, row.split
    )
