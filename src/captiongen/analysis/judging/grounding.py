"""How well captions fit a picture itself, by what a captioner has learned to see; references stay unseen.

The likelihood of a caption alone prefers what is short and often said. So it is held against its likelihood under other
pictures, which is pointwise mutual information (Church and Hanks, 1990), here per token:

    pmi = (log p(caption | image) - log mean over other images of p(caption | other)) / tokens

The audit of captions makes another contrast of the same likelihoods, and says why
(`captiongen.analysis.labels.caption_evidence`).

A matcher over the same encoder, where there is one, adds the cosine of picture and caption. Logistic regression makes
the chance of it that people wrote this caption of this picture and not of another.

Shapes: N images of the background, B images, S side in px.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captiongen.likelihood import CaptionLikelihood, Likelihood, under_each_image
from captiongen.model.checkpoint import LoadedCaptioner
from captiongen.model.encoder import ImageEncoder
from captiongen.model.matcher import CaptionMatcher
from captiongen.types import ImageArray

#: Other pictures that a caption is held against; more of them tell little more and cost 2 ms a caption each.
NUM_BACKGROUND = 16
# Intercept, and what a unit of pmi and of the cosine adds, without a matcher and with one; found on the dev images of
# benchmarks/judge.py, people's captions of the image against people's of a near, a middling and a far one.
_ALONE, _MATCHED = (-1.66, 2.97, 0.0), (-3.05, 1.34, 6.83)
_ROWS_PER_PASS = 512  # of captions under images: bounds memory


class Grounding:
    """Scores captions of pictures by one captioner.

    Args:
        loaded: the captioner.
        background: image id -> (S, S, 3) uint8, prepared as the captioner wants it. No image is held against
            itself.
        matcher: over the captioner's encoder; None for the captioner alone.
    """

    def __init__(
        self, loaded: LoadedCaptioner, background: Mapping[str, ImageArray], *, matcher: CaptionMatcher | None = None
    ) -> None:
        self._matcher = matcher
        self._encoder: ImageEncoder = loaded.captioner.encoder.eval()
        self._likelihood = CaptionLikelihood(loaded.captioner.decoder, loaded.tokenizer)
        self._background_ids = list(background)
        self._background = self._encode(np.stack(list(background.values()))) if background else None
        self._under_background: dict[str, npt.NDArray[np.float64]] = {}

    def score(
        self, pictures: Mapping[str, ImageArray], captions: Mapping[str, Sequence[str]]
    ) -> dict[tuple[str, str], float]:
        """Scores captions of a batch of images.

        Args:
            pictures: image id -> (S, S, 3) uint8, prepared as the captioner wants it.
            captions: image id -> captions in any spelling, empty ones and unknown words included.

        Returns:
            (image id, caption) -> 0..1.
        """
        self._learn_background({caption for image_id in pictures for caption in captions[image_id]})
        features = self._encode(np.stack(list(pictures.values())))
        found = {}
        for index, image_id in enumerate(pictures):
            texts = list(dict.fromkeys(captions[image_id]))
            cosines = self._cosines(features[[index]], texts)
            asked = self._ask(features[[index]], texts)
            for text, cosine, (likelihood,) in zip(texts, cosines, asked, strict=True):
                intercept, of_pmi, of_cosine = _ALONE if self._matcher is None else _MATCHED
                logit = intercept + of_pmi * self._pmi(image_id, text, likelihood) + of_cosine * cosine
                found[image_id, text] = 1.0 / (1.0 + math.exp(-logit))
        return found

    def _pmi(self, image_id: str, caption: str, likelihood: Likelihood) -> float:
        """Nats per token; 0 where there is no other image to compare with."""
        others = [i for i, other in enumerate(self._background_ids) if other != image_id]
        if not others:
            return 0.0
        elsewhere = np.logaddexp.reduce(self._under_background[caption][others]) - math.log(len(others))
        return (likelihood.total - float(elsewhere)) / max(1, len(likelihood.tokens))

    @torch.inference_mode()
    def _cosines(self, features: Tensor, captions: Sequence[str]) -> list[float]:
        """Of one image, (1, C, G, G), with each caption; 0 without a matcher."""
        if self._matcher is None or not captions:
            return [0.0] * len(captions)
        texts = self._matcher.captions(self._matcher.tokens(captions))
        return [float(cosine) for cosine in (texts @ self._matcher.images(features).T)[:, 0]]

    @torch.inference_mode()
    def _encode(self, pictures: npt.NDArray[np.uint8]) -> Tensor:
        features: Tensor = self._encoder(torch.from_numpy(pictures).permute(0, 3, 1, 2))
        return features.float()

    def _learn_background(self, captions: set[str]) -> None:
        """Remembers the log-probability of each new caption under each image of the background, (N,)."""
        if self._background is None:
            return
        # By length, so that few are padded; then by text, so that sums have the same last bit in every process.
        new = sorted(captions - self._under_background.keys(), key=lambda caption: (len(caption), caption))
        for caption, of_caption in zip(new, self._ask(self._background, new), strict=True):
            self._under_background[caption] = np.array([one.total for one in of_caption])

    def _ask(self, features: Tensor, captions: Sequence[str]) -> Iterator[tuple[Likelihood, ...]]:
        """The likelihoods of each caption under all images of `features`."""
        captions_per_pass = max(1, _ROWS_PER_PASS // len(features))
        return under_each_image(self._likelihood, features, captions, captions_per_pass=captions_per_pass)
