"""What `preprocess` and `evaluate` leave behind, of a few tiny pictures: the input of the analysis."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tiny

from captiongen.data.captions_table import write_captions
from captiongen.data.images import prepare
from captiongen.data.shards import ProcessedData, ShardRow, encode_png, split_hash, write_index, write_shards
from captiongen.metrics.report import score_captions, write_report
from captiongen.types import CaptionedImage, Hypothesis, ImageScores, Preprocessing, WordScore


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The two folders and what lies in them."""

    data_folder: Path
    evaluation_folder: Path
    images: tuple[CaptionedImage, ...]


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


def evaluated(folder: Path) -> Evaluated:
    """Eight pictures; the captions of the red ones are wrong, one repeats itself, one was cut off."""
    images, rows = [], []
    for colour in tiny.COLOURS:
        for thing in tiny.THINGS:
            image_id, references = f"{colour}_{thing}.png", tiny.tiny_captions(colour, thing)
            best = hypothesis(f"a blue dog dog <b>{thing}</b>" if colour == "red" else f"a {colour} {thing}")
            if image_id == "blue_box.png":
                best = hypothesis("a box a box a box", 0.3, is_complete=False)
            images.append(captioned(image_id, best, hypothesis(f"one {thing}", 0.5), references=references))
            pixels = prepare(tiny.tiny_picture(colour, thing), Preprocessing(tiny.IMAGE_SIZE_PX, "squash"))
            rows.append(ShardRow(image_id, "test", encode_png(pixels), references))
    references_of = {image.image_id: image.references for image in images}
    identity = split_hash(references_of, tiny.picture_sha256s(rows))
    data_folder, evaluation_folder = folder / "processed", folder / "evaluation"
    written = write_shards(rows, data_folder / "shards", images_per_shard=4)
    preprocessing = Preprocessing(tiny.IMAGE_SIZE_PX, "squash")
    hashes = {"test": identity}
    write_index(
        ProcessedData(data_folder, "tiny", preprocessing, written.counts, hashes, "0" * 64, written.picture_hashes)
    )
    report = score_captions(
        {image.image_id: image.hypotheses[0].caption for image in images},
        references_of,
        decoding="beam3",
        split_hash=identity,
        num_resamples=100,
        seed=0,
    )
    write_report(evaluation_folder / "metrics.json", report)
    facts = {"model_sha256": "ab" * 32, "split": "test", "split_hash": identity}
    write_captions(evaluation_folder / "captions.parquet", images, facts=facts)
    return Evaluated(data_folder, evaluation_folder, tuple(images))
