"""Proposals from feedback: a caption that a person corrected, with a picture that may be kept, is a training image."""

import hashlib
from collections.abc import Iterable, Iterator

from captiongen.data.corrections import Decision, Kind, Picture, Proposal
from captiongen.data.feedback import FeedbackFolder, FeedbackRecord
from captiongen.text.normalise import normalise_caption

#: Nobody has looked at it yet.
_SCORE = 0.5
_NAME_DIGITS = 16


def reported_captions(feedback: FeedbackFolder) -> Iterator[tuple[Proposal, bytes]]:
    """Yields a proposal and its picture, a JPEG file, for each record that has both a correction and a picture.

    Raises:
        DataError: a record, or the picture of one, is missing or damaged.
    """
    for record in feedback.records():
        picture = feedback.picture(record)
        if picture is not None and record.correction is not None and normalise_caption(record.correction):
            yield _proposal(record, record.correction, hashlib.sha256(picture).hexdigest()), picture


def left_behind(accepted: Iterable[Decision], feedback: FeedbackFolder) -> list[Proposal]:
    """Returns what was accepted from reports that are gone: these pictures stay, though their owners' reports do not.

    Raises:
        DataError: a record is damaged.
    """
    kept = {record.picture_sha256 for record in feedback.records()}
    proposals = (one.proposal for one in accepted if one.proposal.source == "feedback")
    return [one for one in proposals if one.picture is not None and one.picture.sha256 not in kept]


def _proposal(record: FeedbackRecord, correction: str, sha256: str) -> Proposal:
    name = f"feedback-{sha256[:_NAME_DIGITS]}"
    problem = f" ({record.reason})" if record.reason else ""
    return Proposal(
        Kind.ADD_IMAGE,
        (name,),
        "feedback",
        f"A user corrected {record.caption!r}{problem}, by {record.model.name} {record.model.version}.",
        _SCORE,
        instead=correction,
        picture=Picture(f"{name}.jpg", sha256),
    )
