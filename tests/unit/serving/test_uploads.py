"""Reading and decoding an upload: which refusal stands for which fault, and how little stays of a picture."""

import numpy as np
import pytest
from tiny import encoded, tiny_picture

from captiongen.data.images import prepare
from captiongen.serving.limits import BadUpload, Refused, TooLarge, UnsupportedImage
from captiongen.serving.uploads import decode_upload, see
from captiongen.types import Preprocessing

SQUASH = Preprocessing(image_size_px=32, resize="squash")


def test_picture_is_decoded() -> None:
    """A picture comes out as RGB of its own size."""
    picture = decode_upload(encoded(tiny_picture(size=(80, 40))))
    assert (picture.mode, picture.size) == ("RGB", (80, 40))


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (b"", BadUpload),
        (encoded(tiny_picture(), "JPEG")[:600], BadUpload),
        (b"%PDF-1.7", UnsupportedImage),
        (encoded(tiny_picture().resize((6000, 5000))), TooLarge),
    ],
    ids=["empty", "cut off", "PDF", "30 megapixels"],
)
def test_each_fault_has_its_own_refusal(data: bytes, refusal: type[Refused]) -> None:
    """Empty and damaged are bad uploads, other kinds unsupported, too many pixels too large."""
    with pytest.raises(refusal):
        decode_upload(data)


def test_only_what_the_model_sees_stays_of_a_picture() -> None:
    """A program's picture becomes the model's pixels at once: many may wait for the model, of any size."""
    picture = tiny_picture(size=(1600, 400))
    seen = see(encoded(picture), SQUASH, with_preview=False)
    assert seen.preview is None
    assert np.array_equal(seen.pixels, prepare(picture, SQUASH))
    assert seen.pixels.base is None, "a view would keep the whole picture"


@pytest.mark.parametrize(
    ("size", "shown"), [((1600, 400), (720, 180)), ((96, 48), (320, 160)), ((500, 400), (500, 400))]
)
def test_the_page_keeps_a_small_copy(size: tuple[int, int], shown: tuple[int, int]) -> None:
    """Large pictures are reduced for the page and small ones enlarged, in their own proportions."""
    seen = see(encoded(tiny_picture(size=size)), SQUASH, with_preview=True)
    assert seen.preview is not None
    assert seen.preview.size == shown
