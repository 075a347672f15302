"""Where the model looked while it wrote a word, drawn to lie over the picture."""

import base64
from io import BytesIO

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from PIL import Image

from captiongen.data.images import Preprocessing

_HEAT_MAP_SIDE_PX = 96  # the browser stretches it over the picture; attention has no finer detail than its grid
_MAX_OPACITY = 0.85
_COLOURS = colormaps["inferno"]


def heat_map(attention: npt.ArrayLike) -> Image.Image:
    """Draws one word's attention as a picture that is clear where the model did not look.

    Args:
        attention: (rows, columns), not negative; scaled so that the highest value is opaque and the lowest clear.

    Returns:
        RGBA, square, smooth between the grid's cells.
    """
    grid = np.asarray(attention, dtype=np.float32)
    spread = float(np.ptp(grid))
    # Attention that is the same everywhere says nothing about the picture: all clear, not all hot.
    strength = (grid - grid.min()) / spread if spread > 1e-6 * float(np.abs(grid).max()) else np.zeros_like(grid)
    size = (_HEAT_MAP_SIDE_PX, _HEAT_MAP_SIDE_PX)
    smooth = np.asarray(Image.fromarray(strength).resize(size, Image.Resampling.BICUBIC)).clip(0.0, 1.0)
    colours = _COLOURS(0.15 + 0.85 * smooth)
    colours[..., 3] = _MAX_OPACITY * smooth
    return Image.fromarray((colours * 255).round().astype(np.uint8), mode="RGBA")


def seen_part(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[float, float, float, float]:
    """Returns which part of a picture the model saw, and so where the heat map belongs.

    Args:
        size: (width, height) of the picture.
        preprocessing: `crop` shows the model the centre square only, `squash` everything.

    Returns:
        left, top, width and height as fractions of the picture.
    """
    width, height = size
    if preprocessing.resize == "squash":
        return 0.0, 0.0, 1.0, 1.0
    shorter = min(size)
    return (width - shorter) / 2 / width, (height - shorter) / 2 / height, shorter / width, shorter / height


def data_uri(image: Image.Image, *, format: str = "PNG") -> str:
    """Encodes a picture so that a page can carry it without another request."""
    buffer = BytesIO()
    image.save(buffer, format=format, quality=85)
    return f"data:image/{format.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
