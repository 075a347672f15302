"""The one decoder and the one preprocessing."""

import struct
import zlib

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from captiongen.data.images import FORMATS, decode_image, prepare, read_header
from captiongen.errors import ImageDecodeError
from captiongen.types import Preprocessing
from tests.datasets import ORIENTATIONS, empty_png, encode, encode_turned, gradient


def _mean_difference(a: Image.Image, b: Image.Image) -> float:
    return float(np.abs(np.asarray(a, dtype=float) - np.asarray(b, dtype=float)).mean())


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_exif_orientation_gives_the_same_upright_picture(format: str, orientation: int):
    """However a camera stored the picture, it comes out upright."""
    upright = gradient(48, 32)
    options = {"quality": 95} if format == "JPEG" else {"lossless": True} if format == "WEBP" else {}
    decoded = decode_image(encode_turned(upright, orientation, format, **options))
    assert decoded.size == (48, 32)
    assert _mean_difference(decoded, upright) < (2 if format == "JPEG" else 0.01)


@pytest.mark.parametrize(
    ("format", "options", "tolerance"),
    [
        ("JPEG", {"quality": 95}, 2),
        ("JPEG", {"quality": 95, "progressive": True}, 2),
        ("PNG", {}, 0),
        ("GIF", {}, 8),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 4),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("BMP", {}, 0),
    ],
)
def test_accepted_formats_give_the_same_picture(format: str, options: dict[str, object], tolerance: float):
    """JPEG, progressive or not, PNG, GIF, WebP, TIFF and BMP all decode to the picture that was saved."""
    picture = gradient()
    decoded = decode_image(encode(picture, format, **options))
    assert decoded.mode == "RGB"
    assert _mean_difference(decoded, picture) <= tolerance


def test_cmyk_jpeg_becomes_rgb():
    """Print colours are converted, not read as if they were red, green, blue."""
    picture = gradient()
    assert _mean_difference(decode_image(encode(picture.convert("CMYK"), "JPEG", quality=95)), picture) < 2


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_brightness(format: str):
    """The high byte of 16-bit grey counts; the picture does not turn white."""
    grey = np.asarray(gradient().convert("L"))
    decoded = decode_image(encode(Image.fromarray(grey.astype(np.uint16) * 257), format))
    assert np.array_equal(np.asarray(decoded), np.stack([grey] * 3, axis=-1))


def test_palette_becomes_its_colours():
    """A palette picture shows its colours, not its indices."""
    picture = gradient().quantize(64)
    assert np.array_equal(np.asarray(decode_image(encode(picture))), np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_lies_on_white(mode: str):
    """Fully transparent pixels are white, opaque ones keep their colour."""
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    data = encode(image.quantize(4), "PNG") if mode == "PA" else encode(image.convert(mode), "PNG")
    assert np.asarray(decode_image(data)).tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_transparent_colour_key_lies_on_white():
    """A PNG that names one colour transparent shows white there."""
    image = Image.new("RGB", (2, 1), (10, 20, 30))
    image.putpixel((1, 0), (200, 0, 0))
    data = encode(image, "PNG", transparency=(200, 0, 0))
    assert np.asarray(decode_image(data)).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_first_frame_of_an_animation_counts():
    """An animation is its first frame."""
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode_image(data).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kept", [0.3, 0.5, 0.9])
def test_cut_off_files_are_refused(format: str, kept: float):
    """Half a file is an error, never a half-grey picture."""
    data = encode(gradient(200, 150), format)
    with pytest.raises(ImageDecodeError):
        decode_image(data[: int(len(data) * kept)])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no picture at all",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n",
        b"%PDF-1.4\n1 0 obj<<>>endobj\n%%EOF",
        b"<html><img src='http://example.org/a.png'></html>",
        encode(gradient(), "ICO"),
        encode(gradient(), "PPM"),
    ],
    ids=["empty", "garbage", "svg", "eps", "pdf", "html", "ico", "ppm"],
)
def test_other_kinds_are_refused_as_unsupported(data: bytes):
    """What is none of the six formats is refused by its first bytes, with a hint what to do."""
    with pytest.raises(ImageDecodeError, match="Expected") as raised:
        decode_image(data)
    assert raised.value.problem == "unsupported"


def test_a_phones_two_pictures_in_one_jpeg_are_its_first():
    """A JPEG with a second view appended (MPO) is read as the JPEG that it is."""
    data = encode(gradient(), "MPO", save_all=True, append_images=[gradient(seed=1)], quality=95)
    assert read_header(data).format == "JPEG"
    assert _mean_difference(decode_image(data), gradient()) < 2


def test_floating_point_pixels_are_refused():
    """32-bit pixels have no agreed white, so they are not guessed at."""
    with pytest.raises(ImageDecodeError, match="32-bit") as raised:
        decode_image(encode(Image.new("F", (4, 4)), "TIFF"))
    assert raised.value.problem == "unsupported"


@pytest.mark.parametrize("side_px", [5_001, 12_000, 60_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_pixel_bombs_are_refused_by_their_header(side_px: int):
    """The announced size is enough: the file holds no pixels, so reading on would say `damaged`."""
    with pytest.raises(ImageDecodeError, match="megapixels") as raised:
        decode_image(empty_png(side_px, side_px))
    assert raised.value.problem == "too_large"


def test_the_limit_itself_is_accepted():
    """As many pixels as allowed are decoded, one row more is refused."""
    assert decode_image(encode(gradient(40, 30)), max_pixels=1200).size == (40, 30)
    with pytest.raises(ImageDecodeError):
        decode_image(encode(gradient(40, 31)), max_pixels=1200)


def test_broken_exif_does_not_spoil_a_picture():
    """A picture with a damaged EXIF block is still a picture."""
    assert decode_image(encode(gradient(), "JPEG", exif=b"Exif\0\0garbage")).size == (40, 30)


def test_header_is_what_the_file_says():
    """Format, mode and size come from the header."""
    header = read_header(encode(gradient(40, 30).convert("L"), "PNG"))
    assert (header.format, header.mode, header.width_px, header.height_px) == ("PNG", "L", 40, 30)


@given(
    data=st.binary(max_size=400),
    prefix=st.sampled_from([encode(gradient(), format)[:64] for format in FORMATS]),
)
def test_any_bytes_decode_or_are_refused(data: bytes, prefix: bytes):
    """Whatever follows a good start, the decoder returns a picture or raises its own error, nothing else."""
    try:
        picture = decode_image(prefix + data, max_pixels=1_000_000)
    except ImageDecodeError:
        return
    assert picture.mode == "RGB"


@given(
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 7)), min_size=1, max_size=20),
    format=st.sampled_from(FORMATS),
)
def test_flipped_bits_decode_or_are_refused(flips: list[tuple[int, int]], format: str):
    """Damage anywhere in a file gives a picture or the decoder's own error, nothing else."""
    data = bytearray(encode(gradient(), format))
    for position, bit in flips:
        data[position % len(data)] ^= 1 << bit
    try:
        picture = decode_image(bytes(data), max_pixels=1_000_000)
    except ImageDecodeError:
        return
    assert picture.mode == "RGB"


@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    side=st.integers(32, 96),
    resize=st.sampled_from(["squash", "crop"]),
    mode=st.sampled_from(["RGB", "L", "RGBA", "P", "CMYK", "1"]),
)
def test_prepared_pictures_always_have_the_models_shape(width: int, height: int, side: int, resize: str, mode: str):
    """Any size, shape and mode becomes (side, side, 3) uint8 that may be written to."""
    pixels = prepare(gradient(width, height).convert(mode), Preprocessing(side, resize))
    assert pixels.shape == (side, side, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable


@pytest.mark.parametrize("resize", ["squash", "crop"])
def test_preparing_is_the_identity_at_the_right_size(resize: str):
    """A picture that has the model's size keeps every pixel, so preparing twice changes nothing."""
    preprocessing = Preprocessing(64, resize)
    once = prepare(gradient(200, 150), preprocessing)
    assert np.array_equal(prepare(Image.fromarray(once), preprocessing), once)


def test_squash_keeps_the_whole_frame_and_crop_the_centre():
    """A red left edge stays visible when squashed and is cut off when cropped."""
    picture = Image.new("RGB", (400, 100), "white")
    picture.paste("red", (0, 0, 100, 100))
    squashed, cropped = (prepare(picture, Preprocessing(32, resize)) for resize in ("squash", "crop"))
    assert squashed[16, 2].tolist() == [255, 0, 0]
    assert (cropped == 255).all()


@pytest.mark.parametrize(
    "thumbnail", [b"", b"\xff\xe1\x00\x08\xff\xd9\xff\xd9"], ids=["plain", "an end in its metadata"]
)
def test_a_jpeg_of_very_many_scans_is_refused(thumbnail: bytes):
    """Each scan of a few bytes goes over all pixels again; the scans that a progressive JPEG has are read."""
    plain = encode(gradient(64, 48), "JPEG", progressive=True)
    start, scans = plain[:2] + thumbnail, plain[2:-2]
    assert decode_image(start + scans + b"\xff\xd9").size == (64, 48)
    assert decode_image(start + scans + b"\xff\xd9" + b"\xff\xda" * 1000).size == (64, 48)  # what phones append
    last = scans[scans.rfind(b"\xff\xda") :]
    for before in (b"", b"\xff\x01"):  # a marker without a length hides nothing
        with pytest.raises(ImageDecodeError, match="at most 100 scans"):
            decode_image(start + scans + (before + last) * 100 + b"\xff\xd9")


def _tiled_tiff(tile_side_px: int) -> bytes:
    """A grey TIFF of 16 x 16 pixels in one deflated tile of this side."""
    tile = zlib.compress(bytes(tile_side_px**2))
    # Width, height, bits, compression, black is zero, offset and bytes of the tile, its sides.
    tags = {
        256: 16,
        257: 16,
        258: 8,
        259: 8,
        262: 1,
        277: 1,
        322: tile_side_px,
        323: tile_side_px,
        324: 8,
        325: len(tile),
    }
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 8 + len(tile)) + tile + struct.pack("<H", len(tags)) + entries + bytes(4)


def test_a_tiff_of_huge_tiles_is_refused():
    """A picture of a few pixels may lie in one tile of gigabytes, which would be unpacked whole."""
    assert decode_image(_tiled_tiff(256)).size == (16, 16)
    with pytest.raises(ImageDecodeError, match="tiles of 5008 x 5008 pixels") as caught:
        decode_image(_tiled_tiff(5_008))
    assert caught.value.problem == "too_large"
