"""What a picture is like without knowing what it shows, and the picture as a page can carry it."""

import base64
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from captiongen.types import ImageArray

_MAX_SIDE_PX = 224  # a thousand photographs are 14 MB of a page
_THUMBNAIL_SIDE_PX = 80  # a thousand: 3 MB
_JPEG_QUALITY = 75


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """Two numbers of a picture.

    Attributes:
        brightness: mean luma, 0..255.
        sharpness: variance of the luma's Laplacian (Pech-Pacheco et al., ICPR 2000): low where a picture is blurred.
    """

    brightness: float
    sharpness: float


@dataclass(frozen=True, slots=True)
class EmbeddedPicture:
    """A picture's numbers, and the picture as a JPEG in a `data:` URI."""

    facts: PictureFacts
    data_uri: str


def measure_picture(pixels: ImageArray) -> PictureFacts:
    """Measures a picture, (height, width, 3)."""
    from scipy.ndimage import laplace

    luma = np.asarray(Image.fromarray(pixels).convert("L"), dtype=np.float32)
    return PictureFacts(float(luma.mean()), float(laplace(luma).var()))


def embed_picture(pixels: ImageArray) -> str:
    """Encodes a picture, (height, width, 3), as a small JPEG in a `data:` URI."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((_MAX_SIDE_PX, _MAX_SIDE_PX))
    return _data_uri(picture)


def embed_thumbnail(pixels: ImageArray, *, aspect: float) -> str:
    """Encodes a picture as `embed_picture` does, to be recognised and no more.

    Args:
        pixels: (height, width, 3).
        aspect: width over height that it is shown in; NaN for its own.
    """
    height, width, _ = pixels.shape
    shape = width / height if np.isnan(aspect) else aspect
    sides = (_THUMBNAIL_SIDE_PX * min(1.0, shape), _THUMBNAIL_SIDE_PX / max(1.0, shape))
    return _data_uri(Image.fromarray(pixels).resize((max(1, round(sides[0])), max(1, round(sides[1])))))


def _data_uri(picture: Image.Image) -> str:
    buffer = BytesIO()
    picture.save(buffer, format="JPEG", quality=_JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
