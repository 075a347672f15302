"""What every search needs of a model: one callable that reads tokens and tells the odds of the next ones.

Shapes: B images, K rows (hypotheses) of each image, V vocabulary. Searches keep rows grouped by image, so that a
model can share what belongs to the image; K may change from one call to the next.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class NextToken(Protocol):
    """A language model over one image each, driven one token at a time."""

    def __call__(self, tokens: Tensor, parents: Tensor) -> Tensor:
        """Reads one token per row and returns the log-probabilities of the next.

        Args:
            tokens: (B, K) int64.
            parents: (B, K) for each row the row of the call before that it continues; ignored at the first call.

        Returns:
            (B, K, V) log-probabilities; impossible tokens are -inf.
        """

    def keep(self, images: Tensor) -> None:
        """Goes on with some images only, those whose search is not over.

        Args:
            images: (B',) their places in the batch so far, ascending.
        """


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """The tokens that a search must know."""

    bos_id: int
    eos_id: int
    pad_id: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """One hypothesis as tokens.

    Attributes:
        tokens: ids without the begin token; ends with the end token when complete.
        token_log_probabilities: natural log, one per token.
        score: what it was ranked by.
        is_complete: False when the length limit cut it.
    """

    tokens: tuple[int, ...]
    token_log_probabilities: tuple[float, ...]
    score: float
    is_complete: bool

    @property
    def words(self) -> tuple[int, ...]:
        """The tokens without the end token."""
        return self.tokens[:-1] if self.is_complete else self.tokens

    @property
    def log_probability(self) -> float:
        """Sum over all tokens."""
        return float(sum(self.token_log_probabilities))


def length_normalised(log_probability: Tensor, length: int, penalty: float) -> Tensor:
    """Score of a hypothesis of `length` tokens, the end token counted: log p / length ** penalty."""
    return log_probability.div(float(length) ** penalty)


def first_tokens(num_images: int, special: SpecialTokens, device: torch.device) -> tuple[Tensor, Tensor]:
    """The begin token of each image and parents that mean nothing yet: two (B, 1) tensors."""
    tokens = torch.full((num_images, 1), special.bos_id, dtype=torch.long, device=device)
    return tokens, torch.zeros_like(tokens)


def select_rows(table: Tensor, parents: Tensor) -> Tensor:
    """Picks rows of each image: (B, K, T) and (B, K') -> (B, K', T)."""
    return table.gather(1, parents[:, :, None].expand(-1, -1, table.shape[-1]))
