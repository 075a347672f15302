"""Captions of things in colours, and a likelihood that sees the colour and knows which word follows which."""

import random
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from captiongen.likelihood import Likelihood
from captiongen.text.tokenizer import CaptionTokenizer

COLOURS = ("red", "green", "blue", "yellow", "white", "black")
THINGS = ("ball", "box", "dog", "car", "tree", "hat")
OPENINGS = ("there is a", "look at the", "somebody left one", "we can see that", "this shows some")
ENDINGS = ("on the ground", "in this street", "near an old house", "under tall plants", "in front of people")
NUM_CAPTIONS = 5
PATTERNS = tuple(f"{opening} {{}} {{}} {ending}" for opening in OPENINGS for ending in ENDINGS)


def colour_world(num_images: int, *, seed: int = 0) -> tuple[dict[str, tuple[str, ...]], np.ndarray]:
    """Images of one coloured thing each: five captions of each, and features (images, 2, 1, 1): colour and thing."""
    rng = random.Random(seed)
    shown = [(rng.randrange(len(COLOURS)), rng.randrange(len(THINGS))) for _ in range(num_images)]
    captions = {
        f"image-{number:04d}": tuple(
            pattern.format(COLOURS[colour], THINGS[thing]) for pattern in rng.sample(PATTERNS, NUM_CAPTIONS)
        )
        for number, (colour, thing) in enumerate(shown)
    }
    return captions, np.array(shown, dtype=np.float32)[:, :, None, None]


class SeeingLikelihood:
    """Stands in for `CaptionLikelihood`: bigrams of the patterns, times how well colours and things fit the image."""

    def __init__(self) -> None:
        words = {word for pattern in PATTERNS for word in pattern.split()} - {"{}"}
        self._ids = {word: number for number, word in enumerate(sorted({*words, *COLOURS, *THINGS}), start=10)}
        self._follows: dict[str, set[str]] = {}
        for pattern in PATTERNS:
            kinds = ["", *pattern.replace("{}", "COLOUR", 1).replace("{}", "THING").split(), ""]
            for before, after in zip(kinds, kinds[1:], strict=False):
                self._follows.setdefault(before, set()).add(after)

    def __call__(self, features: Tensor, captions: Sequence[Sequence[str]]) -> list[list[Likelihood]]:
        """(B, 2, 1, 1) -> what is thought of each caption of each image."""
        return [
            [self._of(caption.split(), *map(int, image[:, 0, 0])) for caption in of_one]
            for image, of_one in zip(features, captions, strict=True)
        ]

    def _of(self, words: list[str], colour: int, thing: int) -> Likelihood:
        kinds = ["COLOUR" if word in COLOURS else "THING" if word in THINGS else word for word in words]
        logs = []
        for before, after, word in zip(["", *kinds], [*kinds, ""], [*words, ""], strict=True):
            probability = 0.8 if after in self._follows[before] else 0.002
            if word in (*COLOURS, *THINGS):
                probability *= 0.9 if word in (COLOURS[colour], THINGS[thing]) else 0.02
            logs.append(np.log(probability))
        tokens = (*(self._ids[word] for word in words), CaptionTokenizer.eos_id)
        return Likelihood(tokens, np.array(logs, dtype=np.float32))
