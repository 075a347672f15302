"""What a decoder keeps between the steps of a search.

The cache is one of each image: beams come from each other, so a token's keys and values are written once, never moved,
and a row knows by its lineage which of them are its own.

Shapes: B images, K captions (or beams) of each image, T tokens, P tokens already decoded, M entries of an image's
cache, N memory positions, H heads, D numbers of a head.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class KeysValues:
    """Keys and values of one attention: each (B, H, N, D) for the memory, (B, H, M, D) for decoded tokens."""

    keys: Tensor
    values: Tensor


class TokenCache:
    """The keys and values of all tokens that the rows of an image have read, in a buffer with room for more.

    It never changes: `append` gives another one, which shares the buffer where nobody else has written on from here.
    No gradient goes through what was appended: captions are learned from in one pass over all of their tokens.

    Args:
        read: (B, H, M, D) each.
    """

    def __init__(self, read: KeysValues) -> None:
        self._buffer, self._num_entries = read, read.keys.shape[2]
        self._num_written = [self._num_entries]  # of the buffer, by all who share it

    def __len__(self) -> int:
        return self._num_entries

    @property
    def read(self) -> KeysValues:
        """(B, H, M, D) each."""
        return KeysValues(*(one[:, :, : self._num_entries] for one in (self._buffer.keys, self._buffer.values)))

    def append(self, new: KeysValues) -> "TokenCache":
        """With (B, H, M', D) more entries."""
        end = self._num_entries + new.keys.shape[2]
        longer = TokenCache.__new__(TokenCache)
        if end <= self._buffer.keys.shape[2] and self._num_written[0] == self._num_entries:
            longer._buffer, longer._num_written = self._buffer, self._num_written
        else:
            longer._buffer, longer._num_written = self._moved(num_entries=2 * end), [end]
        longer._buffer.keys[:, :, self._num_entries : end] = new.keys.detach()
        longer._buffer.values[:, :, self._num_entries : end] = new.values.detach()
        longer._num_entries = longer._num_written[0] = end
        return longer

    def keep(self, images: Tensor) -> "TokenCache":
        """The entries of some images only, (B',) places in the batch."""
        return TokenCache(KeysValues(self.read.keys[images], self.read.values[images]))

    def _moved(self, *, num_entries: int) -> KeysValues:
        def move(old: Tensor) -> Tensor:
            buffer = old.new_empty(*old.shape[:2], num_entries, old.shape[3])
            buffer[:, :, : old.shape[2]] = old.detach()
            return buffer

        return KeysValues(move(self.read.keys), move(self.read.values))


@dataclass(frozen=True, slots=True)
class DecoderState:
    """What decoding keeps between steps.

    Attributes:
        memory: per layer the keys and values of the image.
        tokens: per layer those of all tokens that any row has read, of abandoned rows too; None before the first.
        lineage: (B, K, P) int64, which of the M entries of `tokens` are each row's own, in their order.
    """

    memory: tuple[KeysValues, ...]
    tokens: tuple[TokenCache, ...] | None = None
    lineage: Tensor | None = None

    @property
    def length(self) -> int:
        """P, how many tokens each row has read."""
        return 0 if self.lineage is None else self.lineage.shape[-1]

    def select(self, parents: Tensor) -> "DecoderState":
        """Reorders the rows of each image.

        Args:
            parents: (B, K') for each new row the old row of the same image that it continues.
        """
        if self.lineage is None:
            return self
        lineage = self.lineage.gather(1, parents[:, :, None].expand(-1, -1, self.length))
        return DecoderState(self.memory, self.tokens, lineage)

    def keep(self, images: Tensor) -> "DecoderState":
        """The state of some images only, (B',) places in the batch."""
        return DecoderState(
            tuple(KeysValues(kv.keys[images], kv.values[images]) for kv in self.memory),
            None if self.tokens is None else tuple(cache.keep(images) for cache in self.tokens),
            None if self.lineage is None else self.lineage[images],
        )

    def follow(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """What (B, K, T) more tokens make of the lineage, and what each of them may look back at.

        Returns:
            the lineage (B, K, P + T), and what is added to attention scores, 0 or -inf: (T, T) between the tokens of a
            row where nothing was read before, else (B, K * T, M + K * T) between all tokens of an image.
        """
        (num_images, num_rows, num_tokens), device = tokens.shape, tokens.device
        num_old = 0 if self.tokens is None else len(self.tokens[0])
        new = num_old + torch.arange(num_rows * num_tokens, device=device).view(1, num_rows, num_tokens)
        new = new.expand(num_images, -1, -1)
        closed = torch.full((), float("-inf"), device=device)
        causal = closed.expand(num_tokens, self.length + num_tokens).triu(self.length + 1)  # (T, P + T)
        if self.lineage is None:
            return new, causal
        lineage = torch.cat([self.lineage, new], dim=-1)
        mask = closed.repeat(num_images, num_rows, num_tokens, num_old + num_rows * num_tokens)
        own = lineage[:, :, None].expand(-1, -1, num_tokens, -1)
        mask.scatter_(-1, own, causal.expand(num_images, num_rows, -1, -1))
        return lineage, mask.flatten(1, 2)
