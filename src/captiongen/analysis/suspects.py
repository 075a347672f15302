"""Captions that are probably wrong, and what is proposed to do about them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from captiongen.analysis.caption_evidence import Candidate, FloatArray
from captiongen.analysis.label_errors import LabelError
from captiongen.data.corrections import Kind, Proposal
from captiongen.text.normalise import metric_tokens

_NUM_OWNERS = 5  # images that a swapped caption is tried on


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
        belongs_to: of a swapped caption, the image that it seems to be of, where one was found.
        instead: the swapped caption of another image that seems to belong here.
        is_verbatim: of a duplicate, whether it is the same to the letter, and not in its words alone.
    """

    image_id: str
    place: int
    caption: str
    kind: LabelError
    probability: float
    reason: str
    belongs_to: str | None = None
    instead: str | None = None
    is_verbatim: bool = False


def give_back(
    suspects: Sequence[Suspect],
    captions: Mapping[str, Sequence[str]],
    probability: Callable[[Sequence[Candidate]], FloatArray],
) -> list[Suspect]:
    """Says of swapped captions whose they are: of images that have a swapped one themselves, and so miss their own.

    Each is tried where the image's other captions are most like it, and goes where it is most probably right; no place
    is given two.

    Args:
        suspects: of all kinds.
        captions: image id -> its captions.
        probability: of being right, for captions tried at other places, which are sorted.

    Returns:
        The same suspects, with `belongs_to` and `instead` where they were found.
    """
    swapped = [one for one in suspects if one.kind is LabelError.SWAPPED]
    positions = {image_id: position for position, image_id in enumerate(captions)}
    tried = {
        (positions[place.image_id], place.place, one.caption): (one, place)
        for one, places in zip(swapped, _likeliest_places(swapped, captions), strict=True)
        for place in places
    }
    if not tried:
        return list(suspects)
    candidates = sorted(tried)
    is_right = probability(candidates)
    new_place: dict[Suspect, Suspect] = {}
    new_caption: dict[Suspect, str] = {}
    for best in np.argsort(-is_right, kind="stable"):
        one, place = tried[candidates[best]]
        if is_right[best] > 0.5 and one not in new_place and place not in new_caption:
            new_place[one], new_caption[place] = place, one.caption
    return [
        replace(
            one,
            belongs_to=new_place[one].image_id if one in new_place else None,
            instead=new_caption.get(one),
        )
        for one in suspects
    ]


def _likeliest_places(swapped: Sequence[Suspect], captions: Mapping[str, Sequence[str]]) -> list[list[Suspect]]:
    """For each swapped caption the places of others where the image's remaining captions have most words of it."""
    if len(swapped) < 2:
        return [[] for _ in swapped]
    remaining = [
        " ".join(text for place, text in enumerate(captions[one.image_id]) if place != one.place) for one in swapped
    ]
    vectorizer = TfidfVectorizer(analyzer=metric_tokens, sublinear_tf=True).fit(remaining)
    alike = (vectorizer.transform(one.caption for one in swapped) @ vectorizer.transform(remaining).T).toarray()
    image_ids = np.array([one.image_id for one in swapped])
    alike[image_ids[:, None] == image_ids] = -1.0
    return [
        [swapped[other] for other in np.argsort(-row, kind="stable")[:_NUM_OWNERS] if row[other] > 0] for row in alike
    ]


def propose(suspects: Sequence[Suspect]) -> list[Proposal]:
    """What to do about them: drop, merge, or put the caption of another image in the place that it belongs to.

    Nothing is proposed for unlikely captions, of which many are right.
    """
    return [_proposal(one) for one in suspects if one.kind is not LabelError.UNLIKELY]


def _proposal(one: Suspect) -> Proposal:
    kind, reason = Kind.DROP_CAPTION, f"{one.kind.value.capitalize()}: {one.reason}"
    if one.kind is LabelError.DUPLICATE and one.is_verbatim:
        kind = Kind.MERGE_CAPTIONS
    elif one.instead is not None:
        kind, reason = Kind.RELABEL_CAPTION, f"{reason} Another image's caption seems to belong here."
    elif one.belongs_to is not None:
        reason = f"{reason} It seems to be of {one.belongs_to}."
    return Proposal(kind, (one.image_id,), "audit", reason, one.probability, caption=one.caption, instead=one.instead)
