"""Reading and decoding an upload: which refusal stands for which fault, and how little stays of a picture."""

from io import BytesIO

import anyio
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin
from starlette.requests import Request
from starlette.types import Message
from tiny import encoded, tiny_picture

from captiongen.data.images import prepare
from captiongen.serving.limits import BadUpload, Refused, TooLarge, UnsupportedImage
from captiongen.serving.uploads import decode_upload, kept_copy, read_upload, see
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


def test_a_kept_copy_has_the_picture_and_nothing_else_of_the_file() -> None:
    """Place, camera, comment, profile and embedded text stay behind, and the picture stands upright."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "SECRET camera"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSDateStamp] = "SECRET place"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Image.new("RGB", (120, 60), "red")
    picture.paste("blue", (0, 0, 60, 60))
    photo = encoded(picture, "JPEG", exif=exif, comment=b"SECRET comment", icc_profile=profile, xmp=b"SECRET xmp")
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "SECRET name")
    drawing = encoded(picture, "PNG", pnginfo=text, exif=exif, icc_profile=profile)
    for data in (photo, drawing):
        assert b"SECRET" in data
        kept = kept_copy(data)
        assert b"SECRET" not in kept
        copy = Image.open(BytesIO(kept))
        assert (copy.format, copy.size, dict(copy.getexif())) == ("JPEG", (60, 120), {})
        assert set(copy.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        above, below = copy.getpixel((30, 10)), copy.getpixel((30, 110))
        assert np.allclose([above, below], [(0, 0, 255), (255, 0, 0)], atol=8)


def test_a_kept_copy_is_no_larger_than_needed() -> None:
    """The longer side has at most 1,024 pixels; smaller pictures keep their size."""
    sizes = [Image.open(BytesIO(kept_copy(encoded(Image.new("1", size))))).size for size in ((3000, 1500), (90, 50))]
    assert sizes == [(1024, 512), (90, 50)]


def test_a_form_in_another_character_set_is_refused() -> None:
    """Text that Python alone could read, and no answer could repeat, is a bad upload."""

    async def receive() -> Message:
        field = rb'Content-Disposition: form-data; name="\ud800"'
        return {"type": "http.request", "body": b"--x\r\n" + field + b"\r\n\r\n\r\n--x--\r\n"}

    headers = [(b"content-type", b"multipart/form-data; boundary=x; charset=unicode_escape")]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    with pytest.raises(BadUpload, match="utf-8"):
        anyio.run(read_upload, request)
