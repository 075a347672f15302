"""Reading and decoding an upload: which refusal stands for which fault."""

import pytest
from tiny import encoded, tiny_picture

from captiongen.serving.limits import BadUpload, Refused, TooLarge, UnsupportedImage
from captiongen.serving.uploads import decode_upload


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
