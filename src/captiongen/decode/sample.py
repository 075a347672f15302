"""Greedy search and sampling over a next-token callable: one loop, two ways to choose.

Shapes: B images, K captions drawn of each, V vocabulary.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from captiongen.decode.stepper import Decoded, NextToken, SpecialTokens, first_tokens

#: Picks one token per row: (B, K, V) log-probabilities -> (B, K) ids.
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
    start = first_tokens(num_images, special, device or torch.device("cpu"))
    return [one for [one] in _generate(next_token, lambda odds: odds.argmax(dim=-1), start, special, max_tokens)]


def sample(
    next_token: NextToken,
    *,
    generators: Sequence[torch.Generator],
    special: SpecialTokens,
    max_tokens: int,
    num_samples: int = 1,
    temperature: float = 1.0,
    top_p: float = 1.0,
    device: torch.device | None = None,
) -> list[list[Decoded]]:
    """Draws each token from the model's distribution.

    Args:
        next_token: the model.
        generators: one for each image, where the model lives: what is drawn of an image does not depend on its batch.
        special: begin, end and padding token.
        max_tokens: longest caption, the end token counted.
        num_samples: K, captions of each image.
        temperature: below 1 sharpens, above 1 flattens.
        top_p: draw only from the smallest set of tokens whose probabilities reach this sum (nucleus sampling,
            arXiv 1904.09751).
        device: where the model's tensors live.

    Returns:
        For each image its K captions, in the order drawn.
    """

    def draw(log_probabilities: Tensor) -> Tensor:
        odds = (log_probabilities / temperature).softmax(dim=-1)
        if top_p < 1.0:
            ordered, order = odds.sort(dim=-1, descending=True)
            is_outside = ordered.cumsum(dim=-1) - ordered >= top_p
            odds = torch.zeros_like(odds).scatter(-1, order, ordered.masked_fill(is_outside, 0.0))
        drawn = [torch.multinomial(own, 1, generator=source) for own, source in zip(odds, generators, strict=True)]
        return torch.stack(drawn)[..., 0]

    tokens, parents = first_tokens(len(generators), special, device or torch.device("cpu"))
    start = tokens.expand(-1, num_samples), parents.expand(-1, num_samples)
    return _generate(next_token, draw, start, special, max_tokens)


def _generate(
    next_token: NextToken, choose: Chooser, start: tuple[Tensor, Tensor], special: SpecialTokens, max_tokens: int
) -> list[list[Decoded]]:
    tokens, parents = start  # each (B, K)
    own = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)  # every row continues itself
    chosen: list[Tensor] = []
    log_probabilities: list[Tensor] = []
    is_ended = torch.zeros_like(tokens, dtype=torch.bool)
    for _ in range(max_tokens):
        # What follows the end is never read; odds of nothing but -inf, as the repetition guard may leave, are no odds.
        step = next_token(tokens, parents).masked_fill(is_ended[:, :, None], 0.0)  # (B, K, V)
        tokens, parents = choose(step).masked_fill(is_ended, special.pad_id), own
        chosen.append(tokens)
        log_probabilities.append(step.gather(-1, tokens[..., None])[..., 0])
        is_ended |= tokens == special.eos_id
        if bool(is_ended.all()):
            break
    ids, logs = torch.stack(chosen, dim=-1).tolist(), torch.stack(log_probabilities, dim=-1).tolist()  # (B, K, T)
    return [
        [_cut_after_end(row, log, special) for row, log in zip(*of_one, strict=True)]
        for of_one in zip(ids, logs, strict=True)
    ]


def _cut_after_end(ids: list[int], logs: list[float], special: SpecialTokens) -> Decoded:
    is_complete = special.eos_id in ids
    length = ids.index(special.eos_id) + 1 if is_complete else len(ids)
    return Decoded(tuple(ids[:length]), tuple(logs[:length]), float(sum(logs[:length])), is_complete)
