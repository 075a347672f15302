"""Captions per second of the batched beam search, against `generate()` of Hugging Face transformers.

    pip install transformers            # the peer, not needed by CaptionGen
    python benchmarks/decode.py

Both sides decode with the same beams, the same number of tokens and a decoder of the same size (layers, width, heads,
vocabulary) over the same number of image positions, in turn, in one process. Weights are random, so no search ends
early: all write exactly `--num-tokens` tokens. Ours is measured twice, as it is and with `decode.weights: int8`; the
peer is float32 in both ratios. The fastest round counts; `--clock cpu --num-threads 1` compares processor time, for a
machine that does other work. Report the ratios: the absolute numbers are this machine's.
"""

import argparse
import time
from collections.abc import Callable
from typing import Literal

import torch

import captiongen
from captiongen.inference import search
from captiongen.model.compact import compact
from captiongen.model.decoder import CaptionDecoder
from captiongen.params import DecodeParams, DecoderParams
from captiongen.text.tokenizer import CaptionTokenizer

VOCABULARY_SIZE, GRID_SIZE, NUM_CHANNELS = 2943, 7, 640


def ours(options: argparse.Namespace, weights: Literal["fp32", "int8"]) -> Callable[[int], object]:
    """The search that evaluation and service use."""
    params = DecoderParams(width=options.width, num_layers=options.num_layers, num_heads=8, dropout=0.0)
    decoder = CaptionDecoder(
        params,
        vocabulary_size=VOCABULARY_SIZE,
        num_channels=NUM_CHANNELS,
        grid_size=GRID_SIZE,
        max_tokens=options.num_tokens,
    ).eval()
    decode = DecodeParams(num_beams=options.num_beams, max_tokens=options.num_tokens, num_hypotheses=1, weights=weights)
    with torch.no_grad():  # an end that is never likely: every caption runs to the limit, as the peer's
        decoder.embedding.weight[CaptionTokenizer.eos_id] = 0.0
    if weights == "int8":
        decoder = compact(decoder)

    def run(batch_size: int) -> object:
        return search(decoder, torch.randn(batch_size, NUM_CHANNELS, GRID_SIZE, GRID_SIZE), decode)

    return run


def peer(options: argparse.Namespace) -> Callable[[int], object]:
    """GPT-2 with cross-attention, the nearest thing that transformers has to a caption decoder of this size."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=VOCABULARY_SIZE,
        n_positions=64,
        n_embd=options.width,
        n_layer=options.num_layers,
        n_head=8,
        add_cross_attention=True,
        is_encoder_decoder=False,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    model = GPT2LMHeadModel(config).eval()

    def run(batch_size: int) -> object:
        return model.generate(
            torch.ones(batch_size, 1, dtype=torch.long),
            encoder_hidden_states=torch.randn(batch_size, GRID_SIZE**2, options.width),
            num_beams=options.num_beams,
            min_new_tokens=options.num_tokens,
            max_new_tokens=options.num_tokens,
            do_sample=False,
        )

    return run


@torch.inference_mode()
def main() -> None:
    """Measures both sides in turn and prints captions per second and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--num-beams", type=int, default=3)
    parser.add_argument("--num-tokens", type=int, default=20)
    parser.add_argument("--num-rounds", type=int, default=5)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--num-threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 16])
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(options.num_threads)
    clock = time.perf_counter if options.clock == "wall" else time.process_time
    sides = {"fp32": ours(options, "fp32"), "int8": ours(options, "int8"), "transformers fp32": peer(options)}
    print(
        f"captiongen {captiongen.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads, "
        f"{options.clock} time"
    )
    for batch_size in options.batch_sizes:
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(options.num_rounds + 1):  # the first round warms up
            for name, run in sides.items():
                started = clock()
                run(batch_size)
                seconds[name].append(clock() - started)
        speeds = {name: batch_size / min(times) for name, times in seconds.items()}
        told = ", ".join(f"{name} {speed:.1f} captions/s" for name, speed in speeds.items())
        ratios = ", ".join(f"{name} {speeds[name] / speeds['transformers fp32']:.2f}" for name in ("fp32", "int8"))
        print(f"batch {batch_size:>2}: {told}; ratios {ratios}")


if __name__ == "__main__":
    main()
