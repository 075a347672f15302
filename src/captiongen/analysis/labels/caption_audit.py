"""An audit of captions: which are wrong, how surely, why, and whose they may be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from captiongen.analysis.labels.caption_evidence import (
    Candidate,
    CaptionEvidence,
    EvidenceReader,
    median_and_deviation,
)
from captiongen.analysis.labels.hard_images import HardImage, find_hard_images
from captiongen.analysis.labels.label_errors import PLANTED, ErrorProbability, LabelError, plant
from captiongen.analysis.labels.suspects import NUM_TRIED, Suspect, with_owners
from captiongen.params import AuditParams
from captiongen.text.normalise import normalise_caption

# Of the captions: who finds more of them wrong than right has not learned what is right.
_MAX_CREDIBLE_SHARE = 0.5
_NUM_PLANTED = 1000  # of each kind: a regression on eight numbers learns nothing more from more


@dataclass(frozen=True, slots=True)
class CaptionAudit:
    """What was found among the captions of a split.

    Attributes:
        suspects: the most probable first.
        frequencies: kind -> estimated share of all captions that are wrong in this way, those not found included.
        note: why the captioner was not believed, "" where it was.
        hard: images that it learned least of although none of their captions is suspected, the hardest first.
    """

    suspects: tuple[Suspect, ...]
    frequencies: Mapping[LabelError, float]
    note: str = ""
    hard: tuple[HardImage, ...] = ()


def find_plain_errors(captions: Mapping[str, Sequence[str]], *, min_words: int) -> list[Suspect]:
    """Finds captions that need no captioner to be found: nearly empty ones, and those an image has twice."""
    found = []
    for image_id, texts in captions.items():
        seen: set[str] = set()
        for place, text in enumerate(texts):
            words = normalise_caption(text)
            if (num_words := len(words.split())) < min_words:
                reason = f"It has {num_words} of the {min_words} words that a caption has at least."
                found.append(Suspect(image_id, place, text, LabelError.EMPTY, 1.0, reason))
            elif words in seen:
                reason = "Another caption of this image has the same words."
                is_verbatim = text in texts[:place]
                found.append(Suspect(image_id, place, text, LabelError.DUPLICATE, 1.0, reason, is_verbatim=is_verbatim))
            seen.add(words)
    return found


def audit_captions(
    captions: Mapping[str, Sequence[str]],
    features: npt.NDArray[np.generic],
    reader: EvidenceReader,
    params: AuditParams,
) -> CaptionAudit:
    """Finds captions that a captioner and the image's other captions speak against.

    Args:
        captions: image id -> its captions, in the order of `features`.
        features: (images, C, G, G) of the captioner's encoder.
        reader: of these captions.
        params: the section `audit`.
    """
    plain = find_plain_errors(captions, min_words=params.min_words)
    image_ids, texts = list(captions), list(captions.values())
    own = [(image, place, text) for image, of_one in enumerate(texts) for place, text in enumerate(of_one)]
    planted = {kind: plant(texts, kind, num_planted=_NUM_PLANTED, seed=params.seed) for kind in PLANTED}
    if not all(planted.values()):  # captions of two words, or one image: nothing to learn from
        return CaptionAudit(tuple(plain), {})
    everything = sorted({*own, *(candidate for some in planted.values() for candidate in some)})
    known = dict(zip(everything, reader.read(features, everything), strict=True))
    evidence = [known[candidate] for candidate in own]
    probability = ErrorProbability(evidence, {kind: [known[one] for one in some] for kind, some in planted.items()})
    if (share := float(probability.shares[1:].sum())) > _MAX_CREDIBLE_SHARE:
        note = (
            f"To this captioner {share:.0%} of the captions look wrong, so it was not asked: it has learned too little "
            "to tell. Only empty and repeated captions are listed."
        )
        return CaptionAudit(tuple(plain), {}, note)
    found = _suspects(own, evidence, probability(evidence), image_ids, params)
    tried = np.eye(1 + len(PLANTED))[0] / NUM_TRIED  # or else swapped
    tried[1 + PLANTED.index(LabelError.SWAPPED)] = 1.0 - 1.0 / NUM_TRIED
    found = with_owners(
        found, captions, lambda candidates: probability(reader.read(features, candidates), frequencies=tried)[:, 0]
    )
    known_already = {(one.image_id, one.place) for one in plain}
    suspects = plain + [one for one in found if (one.image_id, one.place) not in known_already]
    # An unlikely caption is no wrong one.
    suspected = {one.image_id for one in suspects if one.kind is not LabelError.UNLIKELY}
    return CaptionAudit(
        tuple(sorted(suspects, key=lambda one: (-one.probability, one.image_id, one.place))),
        dict(zip(PLANTED, probability.shares[1:].tolist(), strict=True)),
        hard=find_hard_images(own, evidence, image_ids, suspected, num_hard_images=params.num_hard_images),
    )


def _suspects(
    own: Sequence[Candidate],
    evidence: Sequence[CaptionEvidence],
    probabilities: npt.NDArray[np.float64],
    image_ids: Sequence[str],
    params: AuditParams,
) -> list[Suspect]:
    usual, surprise = median_and_deviation([one.likelihood for one in evidence])
    fluency, _ = median_and_deviation([one.fluency for one in evidence])
    found = []
    for (image, place, text), one, row in zip(own, evidence, probabilities, strict=True):
        wrong, kind = 1.0 - float(row[0]), PLANTED[int(row[1:].argmax())]
        strangeness = (usual - one.likelihood) / surprise
        if wrong >= params.min_probability:
            reason = _reason(kind, one, text, usual_fluency=fluency)
        elif strangeness >= params.min_surprise:
            kind = LabelError.UNLIKELY
            reason = (
                f"Under its picture, each of its words has a chance of {np.exp(one.likelihood):.2%} to follow those "
                f"before it (geometric mean), {strangeness:.1f} robust deviations below the median of all captions; it "
                "may be right and merely rare."
            )
        else:
            continue
        found.append(Suspect(image_ids[image], place, text, kind, wrong, reason))
    return found


def _reason(kind: LabelError, one: CaptionEvidence, text: str, *, usual_fluency: float) -> str:
    if kind is LabelError.SWAPPED:
        return (
            f"Its picture makes a word {np.exp(one.grounding):.1f} times as likely as other pictures do, and "
            f"{np.exp(one.grounding - one.lead):.1f} times in the image's other captions, with which it shares "
            f"{one.agreement:.0%} of its content."
        )
    if kind is LabelError.TRUNCATED:
        last = normalise_caption(text).rpartition(" ")[2]
        return f"After {last!r} the captioner sees a chance of {100 * np.exp(one.ending):.1g} % that it ends."
    order = (
        f"Under other pictures, each of its words has a chance of {np.exp(one.fluency):.2%} to follow those before it "
        f"(geometric mean); the median of all captions is {np.exp(usual_fluency):.2%}."
    )
    if one.fluency < usual_fluency:
        return order
    return f"{order} So its order alone is not unusual: all that is known of it together looks like words out of order."
