"""Pictures that look alike."""

import numpy as np
from PIL import Image

from captiongen.data.images import decode_image
from captiongen.data.look_alikes import nearest, perceptual_hash
from tests.datasets import encode


def _blotches(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((160, 120), Image.Resampling.BICUBIC)


def test_a_copy_in_another_format_and_size_is_the_nearest():
    """A smaller JPEG of a picture is found among others, a few bits away at most."""
    others = [perceptual_hash(_blotches(seed)) for seed in range(6)]
    copy = decode_image(encode(_blotches(4).resize((80, 60)), "JPEG", quality=80))
    position, distance = nearest(perceptual_hash(copy), others)
    assert position == 4
    assert distance <= 4


def test_distances_are_counted_in_bits():
    """The distance of two hashes is the number of bits in which they differ, the sign bit included."""
    assert nearest("8000000000000003", ["0000000000000000", "ffffffffffffffff"]) == (0, 3)
