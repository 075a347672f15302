"""Greedy search and sampling over a next-token callable: one row per image, one loop, two ways to choose.

Shapes: B images, V vocabulary.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from captiongen.decode.stepper import Decoded, NextToken, SpecialTokens, first_tokens

#: Picks one token per image: (B, V) log-probabilities -> (B,) ids.
Chooser = Callable[[Tensor], Tensor]


def greedy(
    next_token: NextToken,
    *,
    num_images: int,
    special: SpecialTokens,
    max_tokens: int,
    device: torch.device | None = None,
) -> list[Decoded]:
    """Takes the most probable token at each step; equals `beam_search` with one beam."""
    return _generate(next_token, lambda odds: odds.argmax(dim=-1), num_images, special, max_tokens, device)


def sample(
    next_token: NextToken,
    *,
    num_images: int,
    special: SpecialTokens,
    max_tokens: int,
    generator: torch.Generator,
    temperature: float = 1.0,
    top_p: float = 1.0,
    device: torch.device | None = None,
) -> list[Decoded]:
    """Draws each token from the model's distribution.

    Args:
        next_token: the model.
        num_images: B.
        special: begin, end and padding token.
        max_tokens: longest caption, the end token counted.
        generator: the same seed draws the same captions.
        temperature: below 1 sharpens, above 1 flattens.
        top_p: draw only from the smallest set of tokens whose probabilities reach this sum (nucleus sampling,
            arXiv 1904.09751).
        device: where the model's tensors live.
    """

    def draw(log_probabilities: Tensor) -> Tensor:
        odds = (log_probabilities / temperature).softmax(dim=-1)
        if top_p < 1.0:
            ordered, order = odds.sort(dim=-1, descending=True)
            is_outside = ordered.cumsum(dim=-1) - ordered >= top_p
            odds = torch.zeros_like(odds).scatter(-1, order, ordered.masked_fill(is_outside, 0.0))
        return torch.multinomial(odds, 1, generator=generator)[:, 0]

    return _generate(next_token, draw, num_images, special, max_tokens, device)


def _generate(
    next_token: NextToken,
    choose: Chooser,
    num_images: int,
    special: SpecialTokens,
    max_tokens: int,
    device: torch.device | None,
) -> list[Decoded]:
    tokens, parents = first_tokens(num_images, special, device or torch.device("cpu"))
    chosen: list[Tensor] = []
    log_probabilities: list[Tensor] = []
    is_ended = torch.zeros(num_images, dtype=torch.bool, device=tokens.device)
    for _ in range(max_tokens):
        step = next_token(tokens, parents)[:, 0]  # (B, V)
        picked = choose(step).masked_fill(is_ended, special.pad_id)
        chosen.append(picked)
        log_probabilities.append(step.gather(1, picked[:, None])[:, 0])
        is_ended |= picked == special.eos_id
        if bool(is_ended.all()):
            break
        tokens = picked[:, None]
    ids, logs = torch.stack(chosen, dim=1), torch.stack(log_probabilities, dim=1)
    return [_cut_after_end(row, log, special) for row, log in zip(ids.tolist(), logs.tolist(), strict=True)]


def _cut_after_end(ids: list[int], logs: list[float], special: SpecialTokens) -> Decoded:
    is_complete = special.eos_id in ids
    length = ids.index(special.eos_id) + 1 if is_complete else len(ids)
    return Decoded(tuple(ids[:length]), tuple(logs[:length]), float(sum(logs[:length])), is_complete)
