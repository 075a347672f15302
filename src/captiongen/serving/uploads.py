"""From an HTTP request to a picture: the form is read here, and nothing but a file in it is taken.

BentoML's own reading of a file field would fetch a URL that a client gives in place of the file, and would open any
format Pillow knows. So the body is read with limits of ours, and decoded by the project's one decoder.
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import Message
from io import BytesIO
from typing import NamedTuple

from PIL import Image, ImageOps
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from captiongen.data.images import decode_image, prepare
from captiongen.errors import ImageDecodeError
from captiongen.serving.limits import MAX_KEPT_PX, BadUpload, Refused, TooLarge, UnsupportedImage
from captiongen.types import ImageArray, Preprocessing

IMAGE_FIELD = "image"
_EXPECTED = f"Send one picture as the file `{IMAGE_FIELD}` of a multipart form: curl -F {IMAGE_FIELD}=@photo.jpg ..."
_REFUSALS: dict[str, type[Refused]] = {"unsupported": UnsupportedImage, "damaged": BadUpload, "too_large": TooLarge}
_MAX_FIELD_BYTES = 1024**2
_MIN_SHOWN_PX, _MAX_SHOWN_PX = 320, 720  # longer side of a picture on the page


class Seen(NamedTuple):
    """What is kept of an uploaded picture while it waits for its caption.

    Attributes:
        pixels: what the model looks at, (S, S, 3).
        preview: RGB, its longer side 320 to 720 px, for the page; None for programs.
        sha256: of the bytes that came.
    """

    pixels: ImageArray
    preview: Image.Image | None
    sha256: str


@asynccontextmanager
async def read_form(request: Request, *, expected: str, max_field_bytes: int) -> AsyncIterator[FormData]:
    """Yields the fields of a multipart form with at most one file.

    Args:
        request: whose body has not been read.
        expected: what to send instead, for the refusal.
        max_field_bytes: of a field that is no file.

    Raises:
        BadUpload: the body is no multipart form, or a broken one.
        TooLarge: the body is over the limit; raised by `BodyLimit` while it is read.
    """
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        raise BadUpload(f"Expected a multipart form, found {kind or 'no content type'}. {expected}")
    if (charset := _charset(kind)) != "utf-8":  # Python's unicode_escape would make text that no answer can hold
        raise BadUpload(f"Expected a form in utf-8, found one in {charset}. {expected}")
    try:
        form = await request.form(max_files=1, max_fields=8, max_part_size=max_field_bytes)
    except (HTTPException, MultiPartException) as error:
        reason = error.detail if isinstance(error, HTTPException) else error.message
        raise BadUpload(f"The form cannot be read: {reason} {expected}") from None
    try:
        yield form
    finally:
        await form.close()


async def read_upload(request: Request) -> bytes:
    """Returns the bytes of the picture in a request.

    Raises:
        BadUpload: the body is no multipart form, or has no file, or a text (such as a URL), in the field `image`.
        TooLarge: as `read_form`.
    """
    async with read_form(request, expected=_EXPECTED, max_field_bytes=_MAX_FIELD_BYTES) as form:
        upload = form.get(IMAGE_FIELD)
        if isinstance(upload, UploadFile):
            return await upload.read()
        fields = ", ".join(sorted(form)) or "nothing"
    if upload is None:
        raise BadUpload(f"Expected the field `{IMAGE_FIELD}`, found {fields}. {_EXPECTED}")
    raise BadUpload(
        f"Expected a file in the field `{IMAGE_FIELD}`, found text; URLs and paths are not opened. {_EXPECTED}"
    )


def decode_upload(data: bytes) -> Image.Image:
    """Decodes the bytes of an uploaded picture.

    Returns:
        RGB, upright, transparency on white.

    Raises:
        BadUpload: the picture is empty, damaged or cut off.
        UnsupportedImage: the bytes are no picture of a kind that we open.
        TooLarge: over 25 megapixels; no pixel was decoded.
    """
    if not data:
        raise BadUpload(f"The picture is empty (0 bytes). {_EXPECTED}")
    try:
        return decode_image(data)
    except ImageDecodeError as error:
        raise _REFUSALS[error.problem](str(error)) from error


def see(data: bytes, preprocessing: Preprocessing, *, with_preview: bool) -> Seen:
    """Decodes an upload and lets go of it: a picture of 25 megapixels is 75 MB, what the model sees of it 0.2 MB.

    Raises:
        Refused: as `decode_upload`.
    """
    picture = decode_upload(data)
    preview = _preview(picture) if with_preview else None
    return Seen(prepare(picture, preprocessing), preview, hashlib.sha256(data).hexdigest())


def kept_copy(data: bytes) -> bytes:
    """Returns a JPEG of the same picture, upright and of at most MAX_KEPT_PX, with none of the file's metadata.

    Raises:
        Refused: as `decode_upload`.
    """
    picture = decode_upload(data)
    picture.thumbnail((MAX_KEPT_PX, MAX_KEPT_PX))
    # Pillow takes comment, profile and more along from a picture to its copies and files: only pixels go over.
    bare = Image.new("RGB", picture.size)
    bare.paste(picture)
    bare.save(file := BytesIO(), "JPEG", quality=90)
    return file.getvalue()


def _charset(content_type: str) -> str:
    header = Message()
    header["Content-Type"] = content_type
    return header.get_content_charset("utf-8")


def _preview(picture: Image.Image) -> Image.Image:
    side_px = min(max(*picture.size, _MIN_SHOWN_PX), _MAX_SHOWN_PX)
    return ImageOps.contain(picture, (side_px, side_px))
