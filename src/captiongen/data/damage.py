"""Finds the horizontal seam that damaged image data leave in a picture which still decodes.

When part of a JPEG stream is lost or flipped, decoders go on: from one row of blocks downwards the picture is too
bright or too dark, often clipped to white or black, while its content carries on. Re-encoding such a picture hides the
fault from every decoder; only the pixels show it.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

#: The picture is measured at this side, so that the strength does not depend on its resolution.
_SIDE_PX = 224
_WHITE, _BLACK = 250, 5
#: Rows that vary less than this (standard deviation, grey levels) are borders and plain sky: no content to carry on.
_MIN_ROW_DEVIATION = 15.0
#: A smaller change of the clipped share (0..1) from above to below is no damage.
_MIN_EXCESS = 0.02
#: Grey levels added to a row's own change, so that smooth pictures do not divide by nothing.
_NOISE = 5.0


def seam_strength(image: Image.Image) -> float:
    """Measures the strongest full-width brightness step below which the picture is washed out or blacked out.

    The strength of the boundary between two rows is the brightness step that most of the width shares (the second
    smallest of the medians of the four quarters), in units of how much neighbouring rows differ there anyway, times how
    much more of the picture is clipped below the boundary than above, on the side to which the step goes.

    Args:
        image: the decoded picture, any size and mode.

    Returns:
        0 for most clean pictures. On Flickr8k the damaged picture has 0.79, and 4 of 7,090 clean ones exceed 0.6
        (a striped flag, a lit train at night). It finds gross damage, not all: of Flickr8k pictures whose lower part
        was shifted by 60 to 140 grey levels, 4 in 10 exceed 0.6.
    """
    grey = np.asarray(image.convert("L").resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BICUBIC))
    levels = grey.astype(np.float32)
    deviation = levels.std(axis=1)
    whiter, blacker = _excess_below(grey >= _WHITE), _excess_below(grey <= _BLACK)
    # Medians cost most: take them at the few boundaries that can be a seam at all.
    boundaries = np.flatnonzero(
        (np.minimum(deviation[1:], deviation[:-1]) > _MIN_ROW_DEVIATION) & (np.maximum(whiter, blacker) > _MIN_EXCESS)
    )
    if not boundaries.size:
        return 0.0
    change = levels[boundaries + 1] - levels[boundaries]  # (boundaries, columns)
    step = np.median(change, axis=1)
    quarters = np.median(change.reshape(len(change), 4, -1), axis=2) * np.sign(step)[:, None]
    shared_step = np.sort(quarters, axis=1)[:, 1].clip(0.0)
    own_change = np.median(np.abs(change - step[:, None]), axis=1)
    clipped = np.where(step > 0, whiter[boundaries], blacker[boundaries])
    return float((clipped * shared_step / (own_change + _NOISE)).max())


def _excess_below(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """How much larger the share of marked pixels is below each row boundary than above it, 0..1."""
    rows = np.arange(1, len(mask))
    total = np.cumsum(mask.mean(axis=1))
    excess: npt.NDArray[np.float64] = ((total[-1] - total[:-1]) / rows[::-1] - total[:-1] / rows).clip(0.0)
    return excess
