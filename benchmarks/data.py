"""Images per second that the loader delivers, against those that the model eats, in a frozen and in a finetuned phase.

    python benchmarks/data.py --encoder convnext_nano --num-images 64

Both are measured in turn, in one process, on the batches of one epoch: first the batches alone, then the step of the
training loop on batches that are there already. A ratio above 1 means that the model, and not the loader, sets the
pace; the loader's share is what it adds to an epoch, since the loop asks for a batch when it needs one. Report the
ratio: the absolute numbers are this machine's.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

import captiongen
from captiongen.data.batches import Batch, TrainingSet, epoch_batches
from captiongen.model.captioner import Captioner, build_captioner
from captiongen.params import AugmentationParams, DecoderParams, EncoderParams, FinetunedPhase, FrozenPhase
from captiongen.training.objective import CrossEntropy, build_optimiser
from captiongen.training.precision import autocast

IMAGE_SIZE_PX, VOCABULARY_SIZE = 224, 2943
CAPTION = [1, *range(4, 15), 2]  # of Flickr8k's mean length
AUGMENTATION = AugmentationParams(min_crop_area=0.5, colour=0.2, mirror=True)


def training_set(num_images: int, captioner: Captioner, *, is_features: bool) -> TrainingSet:
    """Noise: neither the loader nor the model is any faster on pictures."""
    noise = np.random.default_rng(0)
    channels, grid = captioner.encoder.measure(IMAGE_SIZE_PX)
    features = noise.standard_normal((num_images, channels, grid, grid)).astype(np.float16)
    pictures = noise.integers(0, 256, (num_images, IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3), dtype=np.uint8)
    tokens = [[CAPTION] * 5] * num_images
    entries = features if is_features else pictures
    return TrainingSet([str(number) for number in range(num_images)], entries, tokens, tokens, is_features)


def train_on(batches: list[Batch], captioner: Captioner, phase: FrozenPhase | FinetunedPhase) -> None:
    """What the training loop does with its batches."""
    device = captioner.decoder.image_positions.device
    captioner.train()
    captioner.encoder.requires_grad_(isinstance(phase, FinetunedPhase))
    optimiser, objective = build_optimiser(captioner, phase), CrossEntropy(phase.label_smoothing)
    for step, batch in enumerate(batches):
        with autocast(phase.precision, device):
            loss = objective(captioner, batch.to(device), step=step)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        loss.item()


def seconds_of(work: Callable[..., object], *arguments: object) -> float:
    """Wall time of a call."""
    started = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - started


def main() -> None:
    """Measures both phases and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="convnext_nano")
    parser.add_argument("--num-images", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=16)
    options = parser.parse_args()
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    captioner = build_captioner(
        EncoderParams(name=options.encoder),
        DecoderParams(),
        image_size_px=IMAGE_SIZE_PX,
        vocabulary_size=VOCABULARY_SIZE,
        max_tokens=24,
    ).to(device)
    print(
        f"captiongen {captiongen.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads, {device}"
    )
    print(f"{'images/s':<12} {'loader':>10} {'model':>10} {'ratio':>8}   loader's share of an epoch")
    for phase in (FrozenPhase(kind="frozen", num_epochs=1), FinetunedPhase(kind="finetuned", num_epochs=1)):
        data = training_set(options.num_images, captioner, is_features=isinstance(phase, FrozenPhase))

        def load(data: TrainingSet = data) -> list[Batch]:
            size = options.batch_size
            return list(epoch_batches(data, batch_size=size, augmentation=AUGMENTATION, seed=0, epoch=1))

        train_on(load()[:1], captioner, phase)  # warms up
        loading = seconds_of(load)
        training = seconds_of(train_on, load(), captioner, phase)
        loader, model = (options.num_images / seconds for seconds in (loading, training))
        share = loading / (loading + training)
        print(f"{phase.kind:<12} {loader:10.0f} {model:10.1f} {loader / model:8.1f}   {share:6.1%}")


if __name__ == "__main__":
    main()
