"""How likely a captioner finds given captions of given images: what it would have said, not what its search found.

Shapes: B images, K captions of an image, T tokens, C channels, G side of the feature grid.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captiongen.data.batches import encode_captions, pad
from captiongen.model.decoder import CaptionDecoder
from captiongen.text.tokenizer import CaptionTokenizer


@dataclass(frozen=True, slots=True)
class Likelihood:
    """What a captioner thinks of one caption.

    Attributes:
        tokens: its ids, end token included where the caption was not cut, begin token left out.
        log_probabilities: natural log of the probability of each token, given the image and the tokens before it.
    """

    tokens: tuple[int, ...]
    log_probabilities: npt.NDArray[np.float32]

    @property
    def total(self) -> float:
        """Natural log of the probability of the whole caption."""
        return float(self.log_probabilities.sum())

    @property
    def mean(self) -> float:
        """Mean over tokens: comparable between captions of other lengths."""
        return self.total / max(1, len(self.tokens))


class CaptionLikelihood:
    """Asks one captioner; words that it does not know count as its token for them.

    Args:
        decoder: of the captioner.
        tokenizer: of the captioner.
    """

    def __init__(self, decoder: CaptionDecoder, tokenizer: CaptionTokenizer) -> None:
        self._decoder = decoder.eval()
        self._tokenizer = tokenizer

    @torch.inference_mode()
    def __call__(self, features: Tensor, captions: Sequence[Sequence[str]]) -> list[list[Likelihood]]:
        """Scores the captions of each image, in any spelling and in their order; long ones as far as it can write.

        Args:
            features: (B, C, G, G) of the captioner's encoder.
            captions: K of each of the B images, not the same number for each.
        """
        # Pairs of one caption each keep their order, which `encode_captions` would change within an image.
        flat = [(caption,) for of_one in captions for caption in of_one]
        encoded = iter(encode_captions(flat, self._tokenizer, max_tokens=self._decoder.max_tokens))
        rows = [[next(encoded)[0] for _ in of_one] for of_one in captions]
        tokens = pad(rows, self._tokenizer.pad_id).to(features.device)  # (B, K, T + 1)
        logits, _, _ = self._decoder.advance(self._decoder.start(features.float()), tokens[..., :-1])
        found = logits.float().log_softmax(dim=-1).gather(-1, tokens[..., 1:, None])[..., 0].cpu().numpy()  # (B, K, T)
        return [
            [Likelihood(tuple(ids[1:]), values[: len(ids) - 1]) for ids, values in zip(of_one, scores, strict=False)]
            for of_one, scores in zip(rows, found, strict=True)
        ]


def under_each_image(
    ask: Callable[[Tensor, Sequence[Sequence[str]]], Sequence[Sequence[Likelihood]]],
    features: Tensor,
    captions: Sequence[str],
    *,
    captions_per_pass: int,
) -> Iterator[tuple[Likelihood, ...]]:
    """Yields the likelihoods of each caption under all images: what holds one image against others.

    Args:
        ask: as `CaptionLikelihood`.
        features: (B, C, G, G) of the captioner's encoder.
        captions: asked in this order; sorted by length they need the least padding.
        captions_per_pass: bounds memory at that times B captions.
    """
    for start in range(0, len(captions), captions_per_pass):
        block = captions[start : start + captions_per_pass]
        yield from zip(*ask(features, [block] * len(features)), strict=True)
