"""Captions per second of a training step: captions column by column, cut to length, against one padded block.

    python benchmarks/train_step.py --num-images 32 --num-steps 4

Both ways see the same features and captions, in turn, in one process; the losses must agree. Report the ratio: the
absolute numbers are this machine's.
"""

import argparse
import random
import statistics
import time

import torch
from torch import Tensor
from torch.nn import functional as F

import captiongen
from captiongen.data.batches import pad
from captiongen.model.captioner import Captioner, build_captioner
from captiongen.params import DecoderParams, EncoderParams, FrozenPhase
from captiongen.training.objective import build_optimiser, caption_loss

VOCABULARY_SIZE = 2943
# Lengths of Flickr8k's training captions in tokens, begin and end included: mean 12.8, standard deviation 3.8.
MEAN_LENGTH, LENGTH_DEVIATION, MAX_LENGTH = 12.8, 3.8, 25


def padded_loss(captioner: Captioner, features: Tensor, tokens: Tensor) -> Tensor:
    """The plain way: all captions of all images in one block, as long as the longest of them."""
    logits, _, _ = captioner.decoder.advance(captioner.decoder.start(features), tokens[..., :-1])
    return F.cross_entropy(logits.flatten(0, 2), tokens[..., 1:].flatten(), ignore_index=0, label_smoothing=0.1)


def column_loss(captioner: Captioner, features: Tensor, tokens: Tensor) -> Tensor:
    """The way of `captiongen.training`."""
    return caption_loss(captioner, features, tokens, pad_id=0, label_smoothing=0.1)


def random_captions(num_images: int) -> Tensor:
    """Five captions for each image, shortest first, with Flickr8k's lengths."""
    images = []
    for _ in range(num_images):
        drawn = sorted(random.gauss(MEAN_LENGTH, LENGTH_DEVIATION) for _ in range(5))
        lengths = [min(MAX_LENGTH, max(4, round(length))) for length in drawn]
        images.append([[1, *(random.randrange(4, VOCABULARY_SIZE) for _ in range(n - 2)), 2] for n in lengths])
    return pad(images, 0)


def main() -> None:
    """Measures both ways and prints their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-images", type=int, default=32)
    parser.add_argument("--num-steps", type=int, default=4)
    options = parser.parse_args()
    random.seed(0)
    torch.manual_seed(0)
    captioner = build_captioner(
        EncoderParams(name="test_convnext"),
        DecoderParams(width=384, num_layers=3, num_heads=6, dropout=0.0),
        image_size_px=224,
        vocabulary_size=VOCABULARY_SIZE,
        max_tokens=24,
    )
    captioner.encoder.requires_grad_(False)
    channels, grid = captioner.encoder.measure(224)
    optimiser = build_optimiser(captioner, FrozenPhase(kind="frozen", num_epochs=1))
    seconds: dict[str, list[float]] = {"padded block": [], "column by column": []}
    for step in range(options.num_steps + 1):
        features, tokens = torch.randn(options.num_images, channels, grid, grid), random_captions(options.num_images)
        with torch.no_grad():
            torch.testing.assert_close(*(way(captioner, features, tokens) for way in (padded_loss, column_loss)))
        for name, way in (("padded block", padded_loss), ("column by column", column_loss)):
            started = time.perf_counter()
            way(captioner, features, tokens).backward()
            optimiser.step()
            optimiser.zero_grad()
            if step:  # the first step warms up
                seconds[name].append(time.perf_counter() - started)
    speeds = {name: 5 * options.num_images / statistics.median(times) for name, times in seconds.items()}
    print(f"captiongen {captiongen.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name, speed in speeds.items():
        print(f"{name:<18} {speed:7.1f} captions/s")
    print(f"ratio              {speeds['column by column'] / speeds['padded block']:7.2f}")


if __name__ == "__main__":
    main()
