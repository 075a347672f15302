"""A matcher: pictures and captions as points of one space, near each other where the caption tells of the picture.

Two towers over what a captioner has: an image is the mean of its encoder's features, projected; a caption is the mean
of its words' vectors, each weighing what it has been found to tell. Word order is left to others.

Shapes: B images, C channels, G side of the feature grid, K captions, T tokens, D width of the common space.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from captiongen.params import MatcherParams
from captiongen.text.tokenizer import CaptionTokenizer


class CaptionMatcher(nn.Module):
    """The two towers.

    Args:
        params: width and dropout.
        num_channels: C.
        tokenizer: of the captions.
    """

    def __init__(self, params: MatcherParams, *, num_channels: int, tokenizer: CaptionTokenizer) -> None:
        super().__init__()
        self.params, self.tokenizer = params, tokenizer
        self.norm = nn.LayerNorm(num_channels)
        self.projection = nn.Linear(num_channels, params.width)
        self.words = nn.Embedding(tokenizer.vocabulary_size, params.width)
        self.salience = nn.Embedding(tokenizer.vocabulary_size, 1)
        self.log_scale = nn.Parameter(torch.tensor(2.6))  # of cosines in the loss, learned (arXiv 2103.00020)
        nn.init.normal_(self.words.weight, std=0.1)
        nn.init.zeros_(self.salience.weight)

    def images(self, features: Tensor) -> Tensor:
        """(B, C, G, G) or, pooled already, (B, C) features -> (B, D), unit length."""
        pooled = features.float().mean(dim=(2, 3)) if features.ndim == 4 else features.float()
        return F.normalize(self.projection(F.dropout(self.norm(pooled), self.params.dropout, self.training)), dim=-1)

    def captions(self, tokens: Tensor) -> Tensor:
        """(K, T) padded words without begin and end -> (K, D), unit length; zero for a caption without words."""
        is_word = tokens != CaptionTokenizer.pad_id
        vectors = F.dropout(self.words(tokens), self.params.dropout, self.training)  # (K, T, D)
        weights = self.salience(tokens)[..., 0].exp() * is_word  # (K, T)
        return F.normalize((weights[..., None] * vectors).sum(dim=1), dim=-1)

    def read(self, caption: str) -> Tensor:
        """A caption in any spelling -> (T,) words without begin and end."""
        return torch.tensor(self.tokenizer.encode(caption)[1:-1], dtype=torch.long)

    def tokens(self, captions: Sequence[str]) -> Tensor:
        """Captions in any spelling -> (K, T) padded words, at least one column."""
        return pad_words([self.read(caption) for caption in captions])

    @torch.inference_mode()
    def embed(self, captions: Sequence[str]) -> npt.NDArray[np.float64]:
        """Captions in any spelling -> (K, D), unit length; zero for a caption without words."""
        return self.captions(self.tokens(captions)).double().numpy()


def pad_words(rows: Sequence[Tensor]) -> Tensor:
    """Words of captions, each (T,) with a T of its own -> (K, T) padded, at least one column."""
    padded = pad_sequence(list(rows), batch_first=True, padding_value=CaptionTokenizer.pad_id)
    return padded if padded.shape[1] else torch.full((len(rows), 1), CaptionTokenizer.pad_id)
