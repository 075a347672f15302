"""The n-gram repetition guard: no n-gram occurs twice in a caption.

It stands in front of a next-token callable and is one itself, so every search can have it and none knows of it.
Source: Paulus et al. 2018 (arXiv 1705.04304, section 2.5), there for trigrams.

Shapes: B images, K rows of each image, V vocabulary, T tokens so far, N = T - n + 1 n-grams among them.
"""

import torch
from torch import Tensor

from captiongen.decode.stepper import NextToken, select_rows


class NoRepeatNgram:
    """A language model that cannot repeat itself.

    The tokens that would complete an n-gram for the second time become impossible; the others keep the model's own
    log-probability, so what a caption scores is still what the model thinks of it.

    Args:
        next_token: the model.
        size: n, at least 1; 1 forbids that any token comes twice.
    """

    def __init__(self, next_token: NextToken, size: int) -> None:
        self._next_token, self._size = next_token, size
        self._history: Tensor | None = None  # (B, K, T); the begin token, which comes once, repeats nothing

    def __call__(self, tokens: Tensor, parents: Tensor) -> Tensor:
        """(B, K) tokens and parents -> (B, K, V) log-probabilities."""
        log_probabilities = self._next_token(tokens, parents)
        read = tokens[:, :, None]
        self._history = (
            read if self._history is None else torch.cat([select_rows(self._history, parents), read], dim=-1)
        )
        length = self._history.shape[-1]
        if length < self._size:
            return log_probabilities
        ngrams = self._history.unfold(-1, self._size, 1)  # (B, K, N, n)
        begun = self._history[:, :, None, length - self._size + 1 :]  # (B, K, 1, n - 1)
        is_begun_again = (ngrams[..., :-1] == begun).all(dim=-1)  # (B, K, N)
        penalties = torch.zeros_like(ngrams[..., -1], dtype=log_probabilities.dtype)
        penalties.masked_fill_(is_begun_again, float("-inf"))
        return log_probabilities.scatter_add(-1, ngrams[..., -1], penalties)

    def keep(self, images: Tensor) -> None:
        """Goes on with some images only, (B',) places in the batch."""
        self._next_token.keep(images)
        if self._history is not None:
            self._history = self._history[images]
