"""A receipt goes out with each caption, and comes back with a report of it: so that only real captions are reported.

It holds what the service said of which file with which model, signed with a secret that all processes of a feedback
folder share. So none of them has to remember an answer, and a caption can be reported after a restart, or after another
model went into service. A page of another site gets no receipt: it cannot read what the service answers.

What it does not do: whoever is given a caption can report it, with any words, once; and can hand the receipt on. Who
reads the secret can make receipts.
"""

import secrets
from typing import NamedTuple

from itsdangerous import BadData, SignatureExpired, URLSafeTimedSerializer

from captiongen.data.feedback import ReportedModel
from captiongen.serving.limits import RECEIPT_SECONDS, BadReport

_SALT = "a caption, format 1"
_REMEDY = "Caption the picture again, and send the `receipt` of that answer."


class GivenCaption(NamedTuple):
    """What a receipt stands for.

    Attributes:
        id: 32 hex digits, another for each answer.
        caption: what was said.
        upload_sha256: of the bytes that were captioned.
        model: who said it.
    """

    id: str
    caption: str
    upload_sha256: str
    model: ReportedModel


class Receipts:
    """Makes and reads receipts.

    Args:
        secret: shared by all who shall read them.
        model: who captions.
        seconds: how long a receipt is taken.
    """

    def __init__(self, secret: bytes, model: ReportedModel, *, seconds: int = RECEIPT_SECONDS) -> None:
        self._signer = URLSafeTimedSerializer(secret, salt=_SALT)
        self._model = model
        self._seconds = seconds

    def give(self, caption: str, upload_sha256: str) -> str:
        """Returns a receipt of an answer: a few hundred ASCII characters, not encrypted."""
        return str(self._signer.dumps([secrets.token_hex(16), caption, upload_sha256, self._model.model_dump()]))

    def read(self, receipt: str) -> GivenCaption:
        """Returns what a receipt stands for.

        Raises:
            BadReport: it is not one of ours, or too old.
        """
        try:
            answer_id, caption, upload_sha256, model = self._signer.loads(receipt, max_age=self._seconds)
        except SignatureExpired:
            raise BadReport(
                f"Expected a receipt of the last {self._seconds / 3600:.0f} hours, found an older one. {_REMEDY}"
            ) from None
        except BadData:
            raise BadReport(f"Expected a receipt as this service gives it, found another text. {_REMEDY}") from None
        return GivenCaption(answer_id, caption, upload_sha256, ReportedModel.model_validate(model))
