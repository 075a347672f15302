"""The seam of a washed-out picture."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from captiongen.data.damage import seam_strength


def photograph(seed: int = 0, side_px: int = 224) -> np.ndarray:
    """Soft blobs with grain: content in every row, nothing clipped."""
    random = np.random.default_rng(seed)
    blobs = Image.fromarray(random.integers(20, 180, (9, 9), dtype=np.uint8))
    soft = np.asarray(blobs.resize((side_px, side_px), Image.Resampling.BICUBIC)).astype(float)
    grey = np.clip(soft + random.normal(0, 4, soft.shape), 10, 200)
    return (grey[..., None] * [1.0, 0.95, 0.9]).astype(np.uint8)


def washed_out(pixels: np.ndarray, *, from_row: int, by: int) -> Image.Image:
    """Brightness is off from a row downwards, as after a lost block of a JPEG."""
    damaged = pixels.astype(int)
    damaged[from_row:] += by
    return Image.fromarray(np.clip(damaged, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("seed", range(5))
def test_clean_pictures_have_no_seam(seed: int):
    """Pictures that nothing clips have strength 0."""
    assert seam_strength(Image.fromarray(photograph(seed))) == 0.0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("from_row", "side_px"), [(64, 224), (104, 224), (208, 448)])
def test_a_washed_out_lower_part_is_strong(from_row: int, side_px: int, seed: int):
    """From any row, at any resolution, the strength is over the default limit of 0.6."""
    pixels = photograph(seed, side_px)
    assert seam_strength(washed_out(pixels, from_row=from_row, by=160)) > 0.6


def test_a_blacked_out_lower_part_is_strong():
    """The negative of a washed-out picture is as strong as the picture."""
    picture = washed_out(photograph(3), from_row=104, by=160)
    assert seam_strength(ImageOps.invert(picture)) == pytest.approx(seam_strength(picture), rel=0.05)


def test_a_white_sky_is_no_damage():
    """Clipped pixels above the boundary do not count: what is damaged lies below."""
    pixels = photograph(1)
    pixels[:90] = 255
    assert seam_strength(Image.fromarray(pixels)) < 0.1


def test_a_white_border_is_no_damage():
    """Rows without content, as in a frame, are no picture that carries on."""
    pixels = photograph(2)
    pixels[200:] = 255
    assert seam_strength(Image.fromarray(pixels)) < 0.2


def test_any_mode_is_measured():
    """Grey and palette pictures are measured as RGB ones are."""
    damaged = washed_out(photograph(3), from_row=104, by=160)
    assert seam_strength(damaged.convert("L")) == pytest.approx(seam_strength(damaged), rel=0.05)
