"""From untrusted bytes to the pixels a model sees: the one decoder and the one preprocessing of the project.

Ingest, preprocess, evaluation and the service all call `decode_image` and `prepare`, so a picture gives the same pixels
wherever it enters.
"""

import re
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError

from captiongen.errors import ImageDecodeError
from captiongen.types import ImageArray, Preprocessing

#: Pillow reads many more formats; each is attack surface, and EPS even starts an interpreter.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")
#: The most pixels that are decoded: 25 megapixels are 100 MB in Pillow's memory, RGB and RGBA alike.
MAX_PIXELS = 25_000_000
#: The most scans of a JPEG: a progressive one has some ten, and each goes over all pixels again, be it 60 bytes long.
MAX_SCANS = 100
_JPEG_MARKER = re.compile(rb"\xff([\x02-\xcf\xd8-\xfe])")  # not of pixels: stuffed bytes, restarts and TEM
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = 0xD8, 0xD9, 0xDA

_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What an image file says of itself before its pixels are decoded (size before EXIF orientation)."""

    format: str
    mode: str
    width_px: int
    height_px: int


def read_header(data: bytes, *, max_pixels: int = MAX_PIXELS) -> ImageHeader:
    """Reads format, mode and size without decoding pixels.

    Raises:
        ImageDecodeError: the bytes are none of `FORMATS`, or announce more than `max_pixels` pixels.
    """
    with _open(data, max_pixels) as image:
        # Phones append a depth map or a second view to a JPEG; it stays a JPEG file.
        kind = "JPEG" if image.format == "MPO" else str(image.format)
        return ImageHeader(kind, image.mode, image.width, image.height)


def decode_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decodes an image file to RGB, upright as its EXIF orientation says, transparency on white; the first frame.

    Args:
        data: the bytes of a JPEG, PNG, GIF, WebP, TIFF or BMP file.
        max_pixels: images that announce more, or that need more to be decoded, are refused before any pixel is.

    Raises:
        ImageDecodeError: the bytes are none of these formats, are truncated or damaged, or are too large.
    """
    with _open(data, max_pixels) as image:
        _refuse_costly(image, data, max_pixels)
        try:
            image.load()
            orientation = _orientation(image)
            picture = _to_rgb(image)
        except ImageDecodeError:
            raise
        except Exception as error:
            # Damaged files make Pillow's plugins raise almost anything; all of it means the same to the caller.
            raise ImageDecodeError(
                f"The {image.format} image cannot be decoded ({error}): it is damaged or cut off. Export it again."
            ) from error
    transposition = _TRANSPOSITIONS.get(orientation)
    return picture if transposition is None else picture.transpose(transposition)


def prepare(image: Image.Image, preprocessing: Preprocessing) -> ImageArray:
    """Makes a picture the model's input square, by antialiased bicubic resampling; the identity at the right size.

    Args:
        image: as `decode_image` returns it; other modes are made RGB in the same way.
        preprocessing: size and shape.

    Returns:
        (image_size_px, image_size_px, 3), uint8, RGB, writable.
    """
    side_px = preprocessing.image_size_px
    picture = image if image.mode == "RGB" else _to_rgb(image)
    box: tuple[float, float, float, float] | None = None
    if preprocessing.resize == "crop":
        shorter = min(picture.size)
        left, top = (picture.width - shorter) / 2, (picture.height - shorter) / 2
        box = (left, top, left + shorter, top + shorter)
    return np.array(picture.resize((side_px, side_px), Image.Resampling.BICUBIC, box=box))


def _open(data: bytes, max_pixels: int) -> Image.Image:
    if not data:
        raise ImageDecodeError("Expected an image, found an empty file.", problem="unsupported")
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ImageDecodeError(
            f"Expected one of {', '.join(FORMATS)}, found no such header. Convert the picture to JPEG or PNG.",
            problem="unsupported",
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large("a decompression bomb", max_pixels) from error
    except Exception as error:
        raise ImageDecodeError(f"The image's header cannot be read: {error}.") from error
    if image.width * image.height > max_pixels:
        size = f"{image.width} x {image.height} pixels"
        image.close()
        raise _too_large(size, max_pixels)
    return image


def _refuse_costly(image: Image.Image, data: bytes, max_pixels: int) -> None:
    """Refuses files that say they are small and are not: a kilobyte of them would cost minutes or gigabytes."""
    if image.format in ("JPEG", "MPO") and (num_scans := _num_scans(data)) > MAX_SCANS:
        raise ImageDecodeError(
            f"Expected a JPEG of at most {MAX_SCANS} scans, found one of {num_scans:,}. Export it again.",
            problem="too_large",
        )
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # whose tiles are unpacked whole, be the image one pixel
        sides = [image.tag_v2.get(tag, 0) for tag in (TiffImagePlugin.TILEWIDTH, TiffImagePlugin.TILELENGTH)]
        if all(isinstance(side, int) for side in sides) and sides[0] * sides[1] > max_pixels:
            raise _too_large(f"tiles of {sides[0]} x {sides[1]} pixels", max_pixels)


def _num_scans(data: bytes) -> int:
    """Counts the scans of a JPEG's first image, the thumbnail and what phones append left out."""
    num_scans, position = 0, 0
    while marker := _JPEG_MARKER.search(data, position):
        kind, position = marker[1][0], marker.end()
        if kind == _END_OF_IMAGE:
            break
        num_scans += kind == _START_OF_SCAN
        if kind != _START_OF_IMAGE:
            position += max(2, int.from_bytes(data[position : position + 2], "big"))
    return num_scans


def _too_large(found: str, max_pixels: int) -> ImageDecodeError:
    return ImageDecodeError(
        f"Expected at most {max_pixels / 1e6:.0f} megapixels, found {found}. Send a smaller copy.", problem="too_large"
    )


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - a picture whose EXIF block is broken is still a picture
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F"):
        raise ImageDecodeError(
            f"Expected 8 or 16 bits a channel, found 32-bit pixels (mode {image.mode}), which have no agreed white. "
            "Convert the picture to 8 bits.",
            problem="unsupported",
        )
    if image.mode.startswith("I;16"):
        # Pillow clips 16-bit grey to 255 on conversion, which would turn it white: keep the high byte instead.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        upper = image if image.mode == "RGBA" else image.convert("RGBA")
        picture = Image.new("RGB", upper.size, "white")
        picture.paste(upper, mask=upper)
        return picture
    # Each copy of the largest picture is 100 MB, so none is made that is not needed.
    return image if image.mode == "RGB" else image.convert("RGB")
