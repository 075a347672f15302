"""Hand-made language models over six tokens, as next-token callables: what the searches are tried on."""

import torch
from torch import Tensor

from captiongen.decode.stepper import SpecialTokens

PAD, BOS, EOS = 0, 1, 2
SPECIAL = SpecialTokens(bos_id=BOS, eos_id=EOS, pad_id=PAD)
NUM_TOKENS = 6


class MarkovModel:
    """A next-token callable with one transition table per image: (B, V, V) log-probabilities."""

    def __init__(self, tables: Tensor) -> None:
        self.tables = tables
        self.batch_sizes: list[int] = []

    def __call__(self, tokens: Tensor, parents: Tensor) -> Tensor:
        self.batch_sizes.append(len(tokens))
        images = torch.arange(len(self.tables))[:, None].expand_as(tokens)
        return self.tables[images, tokens]

    def keep(self, images: Tensor) -> None:
        """Drops the tables of the other images."""
        self.tables = self.tables[images]


class HistoryModel:
    """A model whose odds depend on the whole prefix, which it rebuilds from `parents` alone."""

    def __init__(self, num_images: int, seed: int) -> None:
        self.seed = seed
        self.prefixes: list[list[tuple[int, ...]]] = [[()] for _ in range(num_images)]

    def __call__(self, tokens: Tensor, parents: Tensor) -> Tensor:
        self.prefixes = [
            [(*self.prefixes[image][parent], token) for parent, token in zip(parent_row, token_row, strict=True)]
            for image, (parent_row, token_row) in enumerate(zip(parents.tolist(), tokens.tolist(), strict=True))
        ]
        return torch.stack([torch.stack([self.odds(prefix) for prefix in rows]) for rows in self.prefixes])

    def keep(self, images: Tensor) -> None:
        self.prefixes = [self.prefixes[image] for image in images.tolist()]

    def odds(self, prefix: tuple[int, ...]) -> Tensor:
        generator = torch.Generator().manual_seed(hash((self.seed, prefix)) % 2**31)
        return allowed(torch.randn(NUM_TOKENS, generator=generator))


def allowed(logits: Tensor) -> Tensor:
    logits = logits.clone()
    logits[..., [PAD, BOS]] = float("-inf")
    return logits.log_softmax(dim=-1)


def random_tables(num_images: int, seed: int) -> Tensor:
    return allowed(torch.randn(num_images, NUM_TOKENS, NUM_TOKENS, generator=torch.Generator().manual_seed(seed)) * 2)


def has_repeat(caption: tuple[int, ...], size: int) -> bool:
    """Whether an n-gram of so many tokens comes twice; none of size 0 does."""
    ngrams = [caption[start : start + size] for start in range(len(caption) - size + 1)] if size else []
    return len(set(ngrams)) < len(ngrams)
