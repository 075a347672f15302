"""Proposals for tests, and the feedback that some come from."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

from captiongen.data.corrections import Kind, Picture, Proposal
from captiongen.data.feedback import FeedbackFolder, FeedbackRecord, ReportedModel


def drop(image_id: str, caption: str, *, score: float = 0.9) -> Proposal:
    """Proposes to drop a caption."""
    return Proposal(Kind.DROP_CAPTION, (image_id,), "audit", "Does not fit the picture.", score, caption=caption)


def relabel(image_id: str, caption: str, instead: str) -> Proposal:
    """Proposes another caption."""
    return Proposal(
        Kind.RELABEL_CAPTION, (image_id,), "audit", "A wrong colour.", 0.8, caption=caption, instead=instead
    )


def weigh(*image_ids: str, weight: float) -> Proposal:
    """Proposes to weight the images of a slice."""
    return Proposal(Kind.WEIGHT_IMAGES, image_ids, "analysis", "Hard ones.", 0.7, weight=weight)


def merge(image_id: str, caption: str) -> Proposal:
    """Proposes to keep one of equal captions."""
    return Proposal(Kind.MERGE_CAPTIONS, (image_id,), "audit", "Twice.", 1.0, caption=caption)


def reported(caption: str, *, picture: str = "f", score: float = 0.5) -> Proposal:
    """Proposes to add a user's picture with the caption that the user wrote."""
    sha256 = hashlib.sha256(picture.encode()).hexdigest()
    return Proposal(
        Kind.ADD_IMAGE,
        (picture,),
        "feedback",
        "By a user.",
        score,
        instead=caption,
        picture=Picture(f"{picture}.jpg", sha256),
    )


MODEL = ReportedModel(name="captiongen", version="3", weights_sha256="0" * 64, bento="captiongen:3")


@dataclass
class Feedback:
    """A folder with records, as the service keeps them."""

    folder: FeedbackFolder
    num_records: int = field(default=0)

    def keep(self, correction: str | None, picture: bytes | None) -> str:
        """Keeps a report of a caption, with a picture where the person agreed; returns the record's id."""
        self.num_records += 1
        record = FeedbackRecord(
            id=f"{self.num_records:032x}",
            received=datetime(2026, 1, 31, 12, self.num_records, tzinfo=UTC),
            caption="a dog runs",
            correction=correction,
            reason="object",
            upload_sha256="1" * 64,
            picture_sha256=None if picture is None else hashlib.sha256(picture).hexdigest(),
            model=MODEL,
        )
        self.folder.add(record, picture)
        return record.id
