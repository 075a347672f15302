"""Pictures that look alike: the 64-bit DCT hash of a picture, and how far two of them are apart."""

from collections.abc import Sequence

import imagehash
import numpy as np
from PIL import Image


def perceptual_hash(picture: Image.Image) -> str:
    """Returns the DCT hash of an upright picture as 16 hex digits; look-alikes differ in a few of its 64 bits."""
    return str(imagehash.phash(picture))


def nearest(perceptual_hash: str, others: Sequence[str]) -> tuple[int, int]:
    """Returns the position of the most alike of `others`, of which there must be one, and its distance in bits."""
    hashes = np.array([int(other, 16) for other in others], dtype=np.uint64)
    distances = np.bitwise_count(hashes ^ np.uint64(int(perceptual_hash, 16)))
    position = int(distances.argmin())
    return position, int(distances[position])
