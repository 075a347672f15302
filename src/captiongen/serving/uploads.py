"""From an HTTP request to a picture: the form is read here, and nothing but a file in it is taken.

BentoML's own reading of a file field would fetch a URL that a client gives in place of the file, and would open any
format Pillow knows. So the body is read with limits of ours, and decoded by the project's one decoder.
"""

from typing import NamedTuple

from PIL import Image, ImageOps
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from captiongen.data.images import decode_image, prepare
from captiongen.errors import ImageDecodeError
from captiongen.serving.limits import BadUpload, Refused, TooLarge, UnsupportedImage
from captiongen.types import ImageArray, Preprocessing

IMAGE_FIELD = "image"
_EXPECTED = f"Send one picture as the file `{IMAGE_FIELD}` of a multipart form: curl -F {IMAGE_FIELD}=@photo.jpg ..."
_REFUSALS: dict[str, type[Refused]] = {"unsupported": UnsupportedImage, "damaged": BadUpload, "too_large": TooLarge}
_MIN_SHOWN_PX, _MAX_SHOWN_PX = 320, 720  # longer side of a picture on the page


class Seen(NamedTuple):
    """What is kept of an uploaded picture while it waits for its caption.

    Attributes:
        pixels: what the model looks at, (S, S, 3).
        preview: RGB, its longer side 320 to 720 px, for the page; None for programs.
    """

    pixels: ImageArray
    preview: Image.Image | None


async def read_upload(request: Request) -> bytes:
    """Returns the bytes of the picture in a request.

    Raises:
        BadUpload: the body is no multipart form, or has no file, or a text (such as a URL), in the field `image`.
        TooLarge: the body is over the limit; raised by `BodyLimit` while it is read.
    """
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        raise BadUpload(f"Expected a multipart form, found {kind or 'no content type'}. {_EXPECTED}")
    try:
        async with request.form(max_files=1, max_fields=8) as form:
            upload = form.get(IMAGE_FIELD)
            if isinstance(upload, UploadFile):
                return await upload.read()
            fields = ", ".join(sorted(form)) or "nothing"
    except (HTTPException, MultiPartException) as error:
        reason = error.detail if isinstance(error, HTTPException) else error.message
        raise BadUpload(f"The form cannot be read: {reason} {_EXPECTED}") from None
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
    return Seen(prepare(picture, preprocessing), _preview(picture) if with_preview else None)


def _preview(picture: Image.Image) -> Image.Image:
    side_px = min(max(*picture.size, _MIN_SHOWN_PX), _MAX_SHOWN_PX)
    return ImageOps.contain(picture, (side_px, side_px))
