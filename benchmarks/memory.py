"""Memory of the whole stage `train` at 1x and 10x the images: what grows, and by how much per image.

    python benchmarks/memory.py --num-images 1000 --factor 10

Each training is a process of its own, on small noise pictures with captions of Flickr8k's lengths. `anonymous` is what
the process holds itself, at its peak; pictures and features are memory-mapped files, which the system may drop whenever
it wants the room, so they are not in it. Captions are held: their growth per image is what to look at.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import captiongen
from captiongen.data.shards import ProcessedData, ShardRow, encode_png, write_index, write_shards
from captiongen.params import DecodeParams, DecoderParams, EncoderParams, TokenizerParams, TrainParams
from captiongen.text.tokenizer import CaptionTokenizer
from captiongen.types import Preprocessing

IMAGE_SIZE_PX, NUM_DEV_IMAGES = 32, 64
WORDS = [f"w{number}" for number in range(3000)]
# Flickr8k's training captions have 10.8 words, standard deviation 3.8.
MEAN_LENGTH, LENGTH_DEVIATION = 10.8, 3.8
PHASES = ("frozen", "finetuned", "self_critical")


def rows(num_images: int) -> Iterator[ShardRow]:
    """Noise pictures with five random captions each; word frequencies fall off as in a language."""
    noise, draw = np.random.default_rng(0), random.Random(0)
    weights = [1.0 / rank for rank in range(1, len(WORDS) + 1)]
    for split, count in (("dev", NUM_DEV_IMAGES), ("train", num_images)):
        for number in range(count):
            lengths = [max(3, round(draw.gauss(MEAN_LENGTH, LENGTH_DEVIATION))) for _ in range(5)]
            captions = tuple(" ".join(draw.choices(WORDS, weights, k=length)) for length in lengths)
            picture = encode_png(noise.integers(0, 256, (IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3), dtype=np.uint8))
            yield ShardRow(f"{split}-{number:07d}", split, picture, captions)


def write_processed(folder: Path, num_images: int) -> None:
    """Writes a processed data folder as `preprocess` does."""
    written = write_shards(rows(num_images), folder / "shards", images_per_shard=512)
    CaptionTokenizer.train([" ".join(WORDS)], TokenizerParams(min_count=1)).save(folder / "tokenizer.json")
    preprocessing = Preprocessing(image_size_px=IMAGE_SIZE_PX, resize="squash")
    hashes = dict.fromkeys(written.counts, "0" * 64)
    write_index(ProcessedData(folder, "noise", preprocessing, written.counts, hashes, "0" * 64, written.picture_hashes))


def train_once(phase: str, folder: Path) -> None:
    """What the child does: one epoch, then the peaks as JSON."""
    import timm
    from safetensors.torch import save_file

    from captiongen.files import sha256_of_file
    from captiongen.stages.train import train

    weights = folder / "encoder.safetensors"
    save_file(timm.create_model("test_convnext").state_dict(), weights)
    params = TrainParams(
        encoder=EncoderParams(name="test_convnext", weights=str(weights), weights_sha256=sha256_of_file(weights)),
        decoder=DecoderParams(width=32, num_layers=1, num_heads=2),
        phases=[{"kind": phase, "num_epochs": 1, "batch_size": 64}],
        decode=DecodeParams(method="greedy", max_tokens=24),
    )
    peak, is_done = 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not is_done.wait(0.02):
            peak = max(peak, resident_mib("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        train(
            params,
            data_folder=folder / "processed",
            out_folder=folder / "captioner",
            report_folder=folder / "reports",
            state_folder=folder / "state",
        )
    finally:
        is_done.set()
        watcher.join()
    print(json.dumps({"anonymous": peak, "resident": resident_mib("VmHWM")}))


def resident_mib(field: str) -> float:
    """A field of /proc/self/status in MiB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024


def measure(phase: str, num_images: int) -> dict[str, float]:
    """Peaks in MiB of one training in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        write_processed(Path(name) / "processed", num_images)
        command = [sys.executable, __file__, "--phase", phase, "--folder", name]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    peaks: dict[str, float] = json.loads(output.stdout.splitlines()[-1])
    return peaks


def main() -> None:
    """Measures each kind of phase at both sizes and prints the growth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-images", type=int, default=1000)
    parser.add_argument("--factor", type=int, default=10)
    parser.add_argument("--phase", choices=PHASES, help="only this one")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        train_once(options.phase, options.folder)
        return
    few, many = options.num_images, options.num_images * options.factor
    print(f"captiongen {captiongen.__version__}, peak MiB of the stage train")
    print(f"{'phase':<14} {'memory':<10} {few:>8,} {many:>8,}   KiB per image")
    for phase in [options.phase] if options.phase else PHASES:
        small, large = measure(phase, few), measure(phase, many)
        for kind in ("anonymous", "resident"):
            growth = (large[kind] - small[kind]) * 1024 / (many - few)
            print(f"{phase:<14} {kind:<10} {small[kind]:8.0f} {large[kind]:8.0f} {growth:15.2f}")


if __name__ == "__main__":
    main()
