"""Captions per second of a frozen-phase training step against the plain way, and how near both come to the machine.

    python benchmarks/train.py                                                          # convnext_atto, a minute
    python benchmarks/train.py --encoder test_convnext --num-images 8 --num-steps 2     # a small case

The plain way encodes the pictures at each step, in float32, and reads their captions as one padded block in any order.
Ours reads features that were computed once, and captions column by column, shortest first, in the precision that
`precision: auto` picks. Both see the same pictures and captions, in turn, in one process; their losses must agree.

The peak is that of a large matrix product here and now; operations are those that torch's FlopCounterMode counts.
Report ratios and per cent: the absolute numbers are this machine's.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import captiongen
from captiongen.data.batches import pad
from captiongen.model.captioner import Captioner, build_captioner
from captiongen.params import DecoderParams, EncoderParams, FrozenPhase
from captiongen.training.objective import build_optimiser, caption_loss
from captiongen.training.precision import autocast, has_native_bf16

VOCABULARY_SIZE, CPU = 2943, torch.device("cpu")
# Lengths of Flickr8k's training captions in tokens, begin and end included: mean 12.8, standard deviation 3.8.
MEAN_LENGTH, LENGTH_DEVIATION, MAX_LENGTH = 12.8, 3.8, 25


def plain_loss(captioner: Captioner, images: Tensor, tokens: Tensor) -> Tensor:
    """No cache, float32, all captions of all images in one block, as long as the longest of them."""
    with torch.no_grad():
        features = captioner.encoder(images)
    logits, _, _ = captioner.decoder.advance(captioner.decoder.start(features), tokens[..., :-1])
    return F.cross_entropy(logits.flatten(0, 2), tokens[..., 1:].flatten(), ignore_index=0, label_smoothing=0.1)


def our_loss(captioner: Captioner, features: Tensor, tokens: Tensor) -> Tensor:
    """The way of `captiongen.training`."""
    with autocast("auto", CPU):
        return caption_loss(captioner, features, tokens, pad_id=0, label_smoothing=0.1)


def random_captions(num_images: int) -> tuple[Tensor, Tensor]:
    """Five captions for each image with Flickr8k's lengths, (B, 5, T) twice: in any order, and shortest first."""
    images = []
    for _ in range(num_images):
        lengths = [min(MAX_LENGTH, max(4, round(random.gauss(MEAN_LENGTH, LENGTH_DEVIATION)))) for _ in range(5)]
        images.append([[1, *(random.randrange(4, VOCABULARY_SIZE) for _ in range(n - 2)), 2] for n in lengths])
    return pad(images, 0), pad([sorted(captions, key=len) for captions in images], 0)


def seconds_of(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def gflop_of(run: Callable[[], object]) -> float:
    """Floating-point operations of one call, in 10^9; an addition and a multiplication are two."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e9


def matmul_peak(dtype: torch.dtype, side: int) -> float:
    """GFLOP/s of the best of five products of two (side, side) matrices."""
    one, other = (torch.randn(side, side).to(dtype) for _ in range(2))
    return 2 * side**3 / 1e9 / min(seconds_of(lambda: one @ other) for _ in range(5))


def main() -> None:
    """Measures both ways, the encoder and the peak, and prints ratio and per cent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="convnext_atto", help="any name of timm.list_models()")
    parser.add_argument("--image-size-px", type=int, default=224)
    parser.add_argument("--num-images", type=int, default=32)
    parser.add_argument("--num-steps", type=int, default=4)
    parser.add_argument("--matmul-side", type=int, default=2048)
    options = parser.parse_args()
    random.seed(0)
    torch.manual_seed(0)
    captioner = build_captioner(
        EncoderParams(name=options.encoder),
        DecoderParams(width=384, num_layers=3, num_heads=6, dropout=0.0),
        image_size_px=options.image_size_px,
        vocabulary_size=VOCABULARY_SIZE,
        max_tokens=24,
    )
    captioner.encoder.requires_grad_(False).eval()
    optimiser = build_optimiser(captioner, FrozenPhase(kind="frozen", num_epochs=1))

    def step(loss: Tensor) -> float:
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        return loss.item()

    def random_images(num_images: int) -> Tensor:
        return torch.randint(0, 256, (num_images, 3, *[options.image_size_px] * 2), dtype=torch.uint8)

    has_bf16 = has_native_bf16(CPU)
    print(
        f"captiongen {captiongen.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads, "
        f"{options.encoder} at {options.image_size_px} px, ours in {'bf16' if has_bf16 else 'fp32'}"
    )
    seconds: dict[str, list[float]] = {"plain": [], "ours": []}
    for number in range(options.num_steps + 1):
        images, (unsorted, by_length) = random_images(options.num_images), random_captions(options.num_images)
        with torch.no_grad():
            features = captioner.encoder(images)
            losses = plain_loss(captioner, images, unsorted), our_loss(captioner, features, by_length)
            torch.testing.assert_close(*losses, rtol=2e-2 if has_bf16 else 1e-4, atol=0.0)
        ways: dict[str, Callable[[], float]] = {
            "plain": lambda: step(plain_loss(captioner, images, unsorted)),  # noqa: B023 - called in this round
            "ours": lambda: step(our_loss(captioner, features, by_length)),  # noqa: B023
        }
        for name, way in ways.items():
            if number:
                seconds[name].append(seconds_of(way))
            else:  # the first step warms up
                way()
    speeds = {name: 5 * options.num_images / statistics.median(times) for name, times in seconds.items()}
    for name, speed in speeds.items():
        print(f"{name:<6} {speed:7.1f} captions/s")
    print(f"ratio  {speeds['ours'] / speeds['plain']:7.2f}")

    peaks = {"fp32": matmul_peak(torch.float32, options.matmul_side)}
    if has_bf16:
        peaks["bf16"] = matmul_peak(torch.bfloat16, options.matmul_side)
    print("peak  ", ", ".join(f"{name} {peak:.0f} GFLOP/s" for name, peak in peaks.items()))
    sixteen, peak = random_images(16), peaks["bf16" if has_bf16 else "fp32"]

    def encode() -> Tensor:
        with torch.inference_mode(), autocast("auto", CPU):
            return captioner.encoder(sixteen)

    encoder_speed = gflop_of(encode) / min(seconds_of(encode) for _ in range(max(3, options.num_steps)))
    step_speed = gflop_of(ways["ours"]) / statistics.median(seconds["ours"])
    print(f"encoder, forward, 16 images {encoder_speed:6.0f} GFLOP/s, {encoder_speed / peak:.0%} of the peak")
    print(f"training step, {options.num_images:>3} images   {step_speed:6.0f} GFLOP/s, {step_speed / peak:.0%} of it")


if __name__ == "__main__":
    main()
