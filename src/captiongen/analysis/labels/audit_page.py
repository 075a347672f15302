"""Captions that are probably wrong as one self-contained HTML page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from captiongen.analysis import pages
from captiongen.analysis.labels.caption_audit import CaptionAudit
from captiongen.analysis.labels.label_errors import LabelError
from captiongen.analysis.labels.suspects import Suspect
from captiongen.types import Split


@dataclass(frozen=True, slots=True)
class AuditCard:
    """One caption on the page.

    Attributes:
        split: where it was found.
        suspect: the caption.
        picture: `data:` URI of its image, "" where the split has no pictures.
        others: the image's other captions.
    """

    split: Split
    suspect: Suspect
    picture: str
    others: tuple[str, ...]


def render_audit(
    cards: Sequence[AuditCard], audits: Mapping[Split, CaptionAudit], pictures: Sequence[str], *, dataset: str
) -> str:
    """Renders the page.

    Args:
        cards: the captions to show, the most probable errors first.
        audits: by split.
        pictures: what was found about pictures, in sentences.
        dataset: name of the data set.
    """
    counts = {split: Counter(one.kind for one in found.suspects) for split, found in audits.items()}
    return pages.render(
        "audit.html",
        cards=cards,
        counts=counts,
        audits=audits,
        kinds=list(LabelError),
        pictures=pictures,
        dataset=dataset,
        num_found=sum(len(found.suspects) for found in audits.values()),
    )
