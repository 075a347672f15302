"""Where the model looked while it wrote a word, drawn to lie over the picture."""

import base64
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from captiongen.types import Preprocessing

_SPOTLIGHT_SIDE_PX = 96  # the browser stretches it over the picture; attention has no finer detail than its grid
_DARK = (12, 14, 28)
_MAX_DARKNESS = 0.55  # what lies under it can still be told apart


def spotlight(attention: npt.ArrayLike) -> Image.Image:
    """Draws one word's attention as a dark veil that is clear where the model looked.

    A veil stays readable on pictures of any colour, where a coloured heat map would not.

    Args:
        attention: (rows, columns), not negative. The highest value is clear, the lowest dark.

    Returns:
        RGBA, square, smooth between the grid's cells.
    """
    grid = np.asarray(attention, dtype=np.float32)
    spread = float(np.ptp(grid))
    # Attention that is the same everywhere singles nothing out: no veil, rather than one full of rounding noise.
    darkness = (grid.max() - grid) / spread if spread > 1e-6 * float(grid.max()) else np.zeros_like(grid)
    size = (_SPOTLIGHT_SIDE_PX, _SPOTLIGHT_SIDE_PX)
    smooth = np.asarray(Image.fromarray(darkness).resize(size, Image.Resampling.BICUBIC)).clip(0.0, 1.0)
    veil = Image.new("RGBA", size, _DARK)
    veil.putalpha(Image.fromarray((255 * _MAX_DARKNESS * smooth).round().astype(np.uint8)))
    return veil


def seen_part(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[float, float, float, float]:
    """Returns which part of a picture the model saw, and so where the spotlight belongs.

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
