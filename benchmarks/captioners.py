"""CIDEr-D of captioners, and of ways to search, on one split: intervals, and paired differences to the first.

The line below each says what of its captions is cut or repeats itself, how far its probabilities are from the truth (as
the model has them, and calibrated), and what its surest captions score.

    python benchmarks/captioners.py models/captioner 'num_beams=5 length_penalty=0.6' 'num_beams=16 choice=consensus'
    python benchmarks/captioners.py data/raw/student models/captioner --split dev

A captioner is a folder; it searches as its manifest says. Words with `=` in them are searches: the captioner before
them captions once more, with these settings changed. The data are what `dvc repro preprocess` wrote.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml
from tqdm import tqdm

from captiongen.data.shards import open_processed
from captiongen.inference import CaptionEngine, caption_split
from captiongen.metrics.interval import paired_bootstrap
from captiongen.metrics.reliability import with_reliability
from captiongen.metrics.report import score_captions
from captiongen.model.checkpoint import load_captioner
from captiongen.params import DecodeParams
from captiongen.types import MetricsReport, Split

BATCH_SIZE, NUM_RESAMPLES = 32, 2000


def captioners(words: list[str]) -> Iterator[tuple[str, CaptionEngine]]:
    """Yields what was asked for, in order: (its name, captioner with its way to search)."""
    folder: Path | None = None
    for word in words:
        if "=" not in word:
            folder = Path(word)
            yield word, CaptionEngine.load(folder)
        elif folder is None:
            sys.exit(f"`{word}` is a search: name a captioner folder before it.")
        else:
            loaded = load_captioner(folder)
            changes = {key: yaml.safe_load(value) for key, _, value in (pair.partition("=") for pair in word.split())}
            decode = DecodeParams.model_validate(loaded.manifest.decode.model_dump() | changes)
            yield (
                f"  {word}",
                CaptionEngine(replace(loaded, manifest=loaded.manifest.model_copy(update={"decode": decode}))),
            )


def score(engine: CaptionEngine, data_folder: Path, split: Split) -> MetricsReport:
    """Captions a split as the service would, and scores it."""
    data = open_processed(data_folder)
    stream = caption_split(engine, data, split, batch_size=BATCH_SIZE)
    images = list(tqdm(stream, total=data.counts[split], unit="image", leave=False, disable=None))
    report = score_captions(
        {image.image_id: image.hypotheses[0].caption for image in images},
        {image.image_id: image.references for image in images},
        decoding=engine.manifest.decode.describe(),
        split_hash=data.split_hashes[split],
        num_resamples=NUM_RESAMPLES,
        seed=0,
    )
    return with_reliability(report, images, min_confidence=engine.manifest.decode.min_confidence)


def describe(report: MetricsReport) -> str:
    """What may be expected of single captions, on one line."""
    found = report.reliability
    if found is None:
        return ""
    told = [f"cut {found.truncated:.1%}", *(f"{name} twice {share:.1%}" for name, share in found.repeating.items())]
    for kind, error in (("words", found.word_error), ("captions", found.caption_error)):
        if error is not None:
            calibrated = "" if error.confidence is None else f", {error.confidence:.3f}"
            told.append(f"{kind} off by {error.probability:.3f}{calibrated}")
    surest = (next(point for point in found.curve if point.coverage >= share) for share in (0.25, 0.5, 0.75))
    told.append("surest " + ", ".join(f"{point.coverage:.0%} {point.cider:.1f}" for point in surest))
    return "; ".join(told)


def main() -> None:
    """Prints two lines for each captioner and search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captioners", nargs="+", help="captioner folders, and searches such as 'num_beams=5'")
    parser.add_argument("--data", type=Path, default=Path("data/processed"))
    parser.add_argument("--split", choices=["dev", "test"], default="dev")
    options = parser.parse_args()
    first: np.ndarray | None = None
    for name, engine in captioners(options.captioners):
        started = time.monotonic()
        report = score(engine, options.data, options.split)
        cider, per_image = report.metrics["cider"], np.array([image.cider for image in report.per_image])
        told = f"{name:<60} {cider.value:5.1f} [{cider.low:.1f}, {cider.high:.1f}]"
        if first is None:
            first = per_image
        else:
            gain = paired_bootstrap(per_image, first, num_resamples=NUM_RESAMPLES, seed=0)
            told += f"  {gain.mean:+.1f} [{gain.low:+.1f}, {gain.high:+.1f}]"
        print(f"{told}  {time.monotonic() - started:.0f} s\n      {describe(report)}", flush=True)


if __name__ == "__main__":
    main()
