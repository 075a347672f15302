"""The form that `POST /feedback` takes, read and checked field by field."""

import unicodedata
from typing import NamedTuple

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from captiongen.data.feedback import REASONS, Reason
from captiongen.serving.limits import MAX_CORRECTION_CHARACTERS, BadReport
from captiongen.serving.uploads import IMAGE_FIELD, read_form

FIELDS = ("receipt", "correction", "reason", "consent", IMAGE_FIELD)
_EXPECTED = (
    "Send a multipart form with the `receipt` of an answer of POST /caption and, if you like, `correction` (a better "
    f"caption), `reason` ({', '.join(REASONS)}), and with consent=yes the picture as `{IMAGE_FIELD}`."
)
_MAX_FIELD_BYTES = 16 * 1024
#: They turn the order of the characters around them, so that a reader sees another text than the one that is there.
_BIDIRECTIONAL_CONTROLS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


class Report(NamedTuple):
    """What a person sent.

    Attributes:
        receipt: of the caption, as yet unread.
        correction: one line of up to MAX_CORRECTION_CHARACTERS without control characters; None where they wrote none.
        reason: what is wrong; None where they chose none.
        picture: bytes as they came, with the person's consent to the keeping of a copy; None without.
    """

    receipt: str
    correction: str | None
    reason: Reason | None
    picture: bytes | None


async def read_report(request: Request) -> Report:
    """Reads the form of a report.

    Raises:
        BadUpload: the body is no multipart form, or a broken one.
        BadReport: a field is missing, unknown, given twice, or says what it may not.
        TooLarge: the body is over the limit; raised by `BodyLimit` while it is read.
    """
    async with read_form(request, expected=_EXPECTED, max_field_bytes=_MAX_FIELD_BYTES) as form:
        unknown = sorted(set(form) - set(FIELDS))
        if unknown or len(form.multi_items()) > len(form):
            found = ", ".join(unknown) or "a field twice"
            raise BadReport(f"Expected the fields {', '.join(FIELDS)}, each once at most; found {found}. {_EXPECTED}")
        receipt, consent, reason = (_text(form, name).strip() for name in ("receipt", "consent", "reason"))
        if not receipt:
            raise BadReport(f"Expected a `receipt`, found none. {_EXPECTED}")
        if reason and reason not in REASONS:
            raise BadReport(f"Expected one of {', '.join(REASONS)} as `reason`, found another text. {_EXPECTED}")
        if consent not in ("", "no", "yes"):
            raise BadReport(f"Expected yes or no as `consent`, found another text. {_EXPECTED}")
        correction = normalise_correction(_text(form, "correction"))
        picture = await _picture(form, has_consent=consent == "yes")
        return Report(receipt, correction or None, reason or None, picture)


def normalise_correction(text: str) -> str:
    """Returns a text as one line: composed characters (NFC), runs of white space made one space.

    Raises:
        BadReport: it has control characters or is too long.
    """
    for character in text:
        is_control = unicodedata.category(character) == "Cc" and character not in "\t\r\n"
        if is_control or unicodedata.bidirectional(character) in _BIDIRECTIONAL_CONTROLS:
            raise BadReport(
                f"Expected text without control characters as `correction`, found U+{ord(character):04X}. "
                "Type it again."
            )
    line = " ".join(unicodedata.normalize("NFC", text).split())
    if len(line) > MAX_CORRECTION_CHARACTERS:
        raise BadReport(
            f"Expected at most {MAX_CORRECTION_CHARACTERS} characters as `correction`, found {len(line)}. "
            "One sentence that describes the picture is enough."
        )
    return line


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    if isinstance(value, UploadFile):
        raise BadReport(f"Expected text as `{name}`, found a file. {_EXPECTED}")
    return value


async def _picture(form: FormData, *, has_consent: bool) -> bytes | None:
    upload = form.get(IMAGE_FIELD)
    if isinstance(upload, str):
        raise BadReport(f"Expected a file as `{IMAGE_FIELD}`, found text; URLs and paths are not opened. {_EXPECTED}")
    if has_consent != (upload is not None):
        found = "consent without a picture" if has_consent else "a picture without consent"
        raise BadReport(f"Expected consent=yes and `{IMAGE_FIELD}` together, found {found}. {_EXPECTED}")
    return None if upload is None else await upload.read()
