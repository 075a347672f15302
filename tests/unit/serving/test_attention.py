"""The spotlight: clear where the model looked, dark elsewhere, and in the right place."""

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from captiongen.serving.attention import data_uri, seen_part, spotlight
from captiongen.types import Preprocessing


def darkness(attention: list[list[float]]) -> np.ndarray:
    return np.asarray(spotlight(attention).getchannel("A"), dtype=int)


def test_spotlight_is_clear_where_attention_is_highest() -> None:
    """The cell with all the attention is clear, the opposite corner is dark and can still be made out."""
    veil = darkness([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    side = veil.shape[0]
    assert veil[side // 6, side // 6] < 20
    assert 110 < veil[-side // 6, -side // 6] < 150


def test_spotlight_depends_on_the_pattern_not_on_the_scale() -> None:
    """Attention that is small everywhere still shows where it is highest."""
    grid = np.random.default_rng(0).random((7, 7))
    assert np.array_equal(darkness(grid.tolist()), darkness((grid * 1e-3).tolist()))


def test_even_attention_casts_no_shadow() -> None:
    """The same attention everywhere leaves the picture as it is."""
    assert darkness([[0.25, 0.25], [0.25, 0.25]]).max() == 0


@pytest.mark.parametrize(
    ("size", "resize", "expected"),
    [
        ((400, 200), "squash", (0.0, 0.0, 1.0, 1.0)),
        ((400, 200), "crop", (0.25, 0.0, 0.5, 1.0)),
        ((200, 400), "crop", (0.0, 0.25, 1.0, 0.5)),
        ((300, 300), "crop", (0.0, 0.0, 1.0, 1.0)),
    ],
)
def test_seen_part_is_what_preprocessing_keeps(size: tuple[int, int], resize: str, expected: tuple[float, ...]) -> None:
    """Squash shows the model the whole frame, crop its centre square."""
    assert seen_part(size, Preprocessing(image_size_px=64, resize=resize)) == pytest.approx(expected)


def test_data_uri_holds_the_picture() -> None:
    """A data URI decodes to the picture it was made from."""
    picture = Image.new("RGBA", (3, 2), (1, 2, 3, 4))
    head, body = data_uri(picture).split(",")
    assert head == "data:image/png;base64"
    assert Image.open(BytesIO(base64.b64decode(body))).getpixel((0, 0)) == (1, 2, 3, 4)
