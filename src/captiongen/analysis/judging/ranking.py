"""Which captions are worst: badness, from 0 (nothing to complain of) to 1.

Badness is one less the score of `captiongen.analysis.judging.judge`, whose agreement with people is measured: what a
caption says against what people say, relative to how well one of them predicts the others on this image. A low CIDEr
alone mostly marks images that people describe differently: human CIDEr runs from 27 (10th percentile) to 151 (90th)
over the images of Flickr8k.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tqdm import tqdm

from captiongen.analysis.judging.judge import Judge, Judgement
from captiongen.errors import DataError
from captiongen.types import CaptionedImage, ImageScores


@dataclass(frozen=True, slots=True)
class JudgedCaption:
    """A caption and what it is worth.

    Attributes:
        image: what the model and people said.
        scores: its metrics.
        judgement: what it is worth, and its errors.
    """

    image: CaptionedImage
    scores: ImageScores
    judgement: Judgement

    @property
    def badness(self) -> float:
        """0..1, the worst caption has the highest."""
        return 1.0 - self.judgement.score


def judge_captions(
    images: Sequence[CaptionedImage], scores: Sequence[ImageScores], judge: Judge
) -> tuple[JudgedCaption, ...]:
    """Judges the chosen caption of every image, in the images' order.

    Args:
        images: of a split.
        scores: of the same images, in any order.
        judge: knows the references of these images.

    Raises:
        DataError: the two are not of the same images.
    """
    by_id = {score.image_id: score for score in scores}
    if len(images) != len(scores) or by_id.keys() != {image.image_id for image in images}:
        raise DataError(
            f"Expected metrics of exactly the {len(images)} captioned images, found {len(scores)} images with metrics "
            "and not the same ones. Run `dvc repro evaluate`."
        )
    judged = []
    for image in tqdm(images, desc="judge", unit="caption", disable=None):
        best = image.hypotheses[0]
        judgement = judge.judge(image.image_id, best.caption, is_complete=best.is_complete)
        judged.append(JudgedCaption(image, by_id[image.image_id], judgement))
    return tuple(judged)


def worst_first(captions: Sequence[JudgedCaption]) -> list[int]:
    """Returns the positions of captions by badness, the worst first; equal ones by image id."""
    return sorted(range(len(captions)), key=lambda i: (-captions[i].badness, captions[i].image.image_id))
