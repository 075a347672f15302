"""Training images that the captioner learned least of although nothing is wrong with them, to be shown more often.

An image is hard when its captions are far less likely, given the picture, than those of other images are. That alone
would find wrong captions first. So only images count none of whose captions is suspected, and whose captions agree with
each other at least as much as those of most images do: what people say in many ways is not hard, but open.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from captiongen.analysis.labels.caption_evidence import Candidate, CaptionEvidence, FloatArray, median_and_deviation
from captiongen.data.corrections import Kind, Proposal

_MIN_SURPRISE = 2.0  # robust deviations: what is nearer to the middle is not hard
_WEIGHT = 2.0


@dataclass(frozen=True, slots=True)
class HardImage:
    """An image whose captions are right and unlikely.

    Attributes:
        image_id: of the image.
        likelihood: mean log-probability of the words of all its captions, given the image; natural.
        surprise: how many robust deviations that is below the median of all images.
        agreement: mean cosine, 0..1, of each of its captions with its others.
    """

    image_id: str
    likelihood: float
    surprise: float
    agreement: float


def find_hard_images(
    own: Sequence[Candidate],
    evidence: Sequence[CaptionEvidence],
    image_ids: Sequence[str],
    suspected: Collection[str],
    *,
    num_hard_images: int,
) -> tuple[HardImage, ...]:
    """Finds the images with the least likely captions.

    Args:
        own: the captions of all images, as they are.
        evidence: on each of them.
        image_ids: by position.
        suspected: images that have a caption which is probably wrong; none of them is hard.
        num_hard_images: at most so many.

    Returns:
        The hardest first; none of images with one caption, which nothing agrees with.
    """
    images = np.array([image for image, _, _ in own])
    counts = np.bincount(images, minlength=len(image_ids))
    likelihood = _means(images, [one.likelihood for one in evidence], counts)
    agreement = _means(images, [one.agreement for one in evidence], counts)
    usual, deviation = median_and_deviation(likelihood[counts > 0])
    surprise = (usual - likelihood) / deviation
    is_hard = (counts > 1) & (surprise >= _MIN_SURPRISE) & (agreement >= np.median(agreement[counts > 0]))
    hardest = sorted(np.flatnonzero(is_hard).tolist(), key=lambda place: (-surprise[place], image_ids[place]))
    found = (
        HardImage(image_ids[place], float(likelihood[place]), float(surprise[place]), float(agreement[place]))
        for place in hardest
        if image_ids[place] not in suspected
    )
    return tuple(found)[:num_hard_images]


def propose_hard_images(images: Sequence[HardImage]) -> list[Proposal]:
    """Proposes to show each of them twice an epoch; as sure as its captions agree, for they might be wrong together."""
    return [
        Proposal(
            kind=Kind.WEIGHT_IMAGES,
            image_ids=(one.image_id,),
            source="audit",
            reason=f"Hard: under this picture, each word of its captions has a chance of {np.exp(one.likelihood):.2%} "
            f"to follow those before it (geometric mean), {one.surprise:.1f} robust deviations below the median of all "
            f"images; its captions share {one.agreement:.0%} of their content, and none of them looks wrong.",
            score=min(1.0, one.agreement),
            weight=_WEIGHT,
        )
        for one in images
    ]


def _means(images: npt.NDArray[np.int64], values: Sequence[float], counts: npt.NDArray[np.int64]) -> FloatArray:
    """The mean over each image's captions."""
    means: FloatArray = np.bincount(images, weights=np.array(values), minlength=len(counts)) / np.maximum(1, counts)
    return means
