"""Captions that are probably wrong, and what is proposed to do about them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from captiongen.analysis.labels.caption_evidence import Candidate, FloatArray
from captiongen.analysis.labels.label_errors import LabelError
from captiongen.data.corrections import Kind, Proposal
from captiongen.text.normalise import metric_tokens

NUM_TRIED = 5  # places that a swapped caption is tried in


@dataclass(frozen=True, slots=True)
class Suspect:
    """A caption that is probably wrong.

    Attributes:
        image_id: of its image.
        place: which of the image's captions, from 0.
        caption: as the data has it.
        kind: what is wrong.
        probability: that it is wrong, 0..1; of an unlikely caption too, which may be right and merely rare.
        reason: the evidence, in a sentence.
        belongs_to: of a swapped caption, the image that it may be of, where one was found.
        is_verbatim: of a duplicate, whether it is the same to the letter, and not in its words alone.
    """

    image_id: str
    place: int
    caption: str
    kind: LabelError
    probability: float
    reason: str
    belongs_to: str | None = None
    is_verbatim: bool = False


def with_owners(
    suspects: Sequence[Suspect],
    captions: Mapping[str, Sequence[str]],
    probability: Callable[[Sequence[Candidate]], FloatArray],
) -> list[Suspect]:
    """Says of swapped captions whose they may be: of images that have a swapped one themselves, and so miss their own.

    Each is tried in a few of these places, where the image's other captions are most like it.

    Args:
        suspects: of all kinds.
        captions: image id -> its captions.
        probability: of being right, for captions tried at other places, `1 / NUM_TRIED` of which are right.

    Returns:
        The same suspects, with `belongs_to` where one of the places is more probable than not.
    """
    swapped = [one for one in suspects if one.kind is LabelError.SWAPPED]
    positions = {image_id: position for position, image_id in enumerate(captions)}
    tried = sorted(
        {
            (positions[place.image_id], place.place, one.caption)
            for one, places in zip(swapped, _likeliest_places(swapped, captions), strict=True)
            for place in places
        }
    )
    if not tried:
        return list(suspects)
    image_ids, owners = list(captions), dict[str, tuple[float, str]]()
    for (image, _, caption), is_right in zip(tried, probability(tried), strict=True):
        owners[caption] = max(owners.get(caption, (0.5, "")), (float(is_right), image_ids[image]))
    return [
        replace(one, belongs_to=owners.get(one.caption, (0.5, ""))[1] or None)
        if one.kind is LabelError.SWAPPED
        else one
        for one in suspects
    ]


def _likeliest_places(swapped: Sequence[Suspect], captions: Mapping[str, Sequence[str]]) -> list[list[Suspect]]:
    """For each swapped caption the places of others where the image's remaining captions have most words of it."""
    remaining = [
        " ".join(text for place, text in enumerate(captions[one.image_id]) if place != one.place) for one in swapped
    ]
    if len(swapped) < 2 or not any(map(metric_tokens, remaining)):  # with one caption an image nothing remains
        return [[] for _ in swapped]
    vectorizer = TfidfVectorizer(analyzer=metric_tokens, sublinear_tf=True).fit(remaining)
    alike = (vectorizer.transform(one.caption for one in swapped) @ vectorizer.transform(remaining).T).toarray()
    image_ids = np.array([one.image_id for one in swapped])
    alike[image_ids[:, None] == image_ids] = -1.0
    return [
        [swapped[other] for other in np.argsort(-row, kind="stable")[:NUM_TRIED] if row[other] > 0] for row in alike
    ]


def propose(suspects: Sequence[Suspect]) -> list[Proposal]:
    """What to do about them: drop the caption, or merge it with the one that it repeats.

    Nothing is proposed for unlikely captions, of which many are right. A swapped caption is dropped too: many images
    that one may be of are others that look alike (docs/label_errors.md).
    """
    return [
        Proposal(
            Kind.MERGE_CAPTIONS if one.is_verbatim else Kind.DROP_CAPTION,
            (one.image_id,),
            "audit",
            f"{one.kind.value.capitalize()}: {one.reason}"
            + (f" It may be of {one.belongs_to}." if one.belongs_to is not None else ""),
            one.probability,
            caption=one.caption,
        )
        for one in suspects
        if one.kind is not LabelError.UNLIKELY
    ]
