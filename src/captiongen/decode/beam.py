"""Batched beam search over a next-token callable.

The only beam search of the project. An image's search ends when `num_beams` hypotheses have ended, or at the length
limit, and the image leaves the batch; an end token counts only when it is among the `num_beams` best continuations, as
in fairseq, so that one beam is exactly the greedy search. Scores are length-normalised: log p / length ** penalty (Wu
et al. 2016, arXiv 1609.08144, with length for their (5 + length) / 6).

Shapes: B images, K beams, V vocabulary, T tokens so far.
"""

import torch
from torch import Tensor

from captiongen.decode.stepper import Decoded, NextToken, SpecialTokens, first_tokens, length_normalised, select_rows


def beam_search(
    next_token: NextToken,
    *,
    num_images: int,
    special: SpecialTokens,
    num_beams: int,
    num_hypotheses: int,
    length_penalty: float,
    max_tokens: int,
    device: torch.device | None = None,
) -> list[list[Decoded]]:
    """Searches the best captions of a batch of images.

    Args:
        next_token: the model.
        num_images: B.
        special: begin, end and padding token.
        num_beams: K, hypotheses kept alive per image.
        num_hypotheses: length of the n-best list, at most `num_beams` are returned.
        length_penalty: 0 ranks by plain log-probability, larger favours longer captions.
        max_tokens: longest caption, the end token counted.
        device: where the model's tensors live; the CPU by default.

    Returns:
        For each image its hypotheses, best first: complete ones before those that the length limit cut.
    """
    device = device or torch.device("cpu")
    ended: list[list[Decoded]] = [[] for _ in range(num_images)]
    going = list(range(num_images))  # the image at each place of the batch
    tokens, parents = first_tokens(num_images, special, device)
    totals = torch.zeros(num_images, 1, device=device)  # (B, K) log-probability of each row
    history = torch.empty(num_images, 1, 0, dtype=torch.long, device=device)  # (B, K, T)
    log_history = torch.empty(num_images, 1, 0, device=device)  # (B, K, T)

    for length in range(1, max_tokens + 1):
        step = next_token(tokens, parents)  # (B, K, V)
        vocabulary_size = step.shape[-1]
        num_kept = min(2 * num_beams, step.shape[1] * vocabulary_size)
        best, flat = (totals[:, :, None] + step).flatten(1).topk(num_kept)  # (B, 2K): half of them may be ends
        parents, tokens = flat // vocabulary_size, flat % vocabulary_size
        history = torch.cat([select_rows(history, parents), tokens[:, :, None]], dim=-1)
        log_history = torch.cat(
            [select_rows(log_history, parents), step.flatten(1).gather(1, flat)[:, :, None]], dim=-1
        )

        is_end = tokens == special.eos_id
        is_counted = is_end & (torch.arange(num_kept, device=device) < num_beams) & best.isfinite()
        scores = length_normalised(best, length, length_penalty)
        for place, row in is_counted.nonzero().tolist():
            if len(found := ended[going[place]]) < num_beams:
                found.append(_decoded(history[place, row], log_history[place, row], scores[place, row], True))

        # Keep the best rows that go on; ends sink to the bottom of the order.
        totals, order = best.masked_fill(is_end, float("-inf")).topk(min(num_beams, num_kept))  # (B, K)
        parents, tokens = parents.gather(1, order), tokens.gather(1, order)
        history, log_history = select_rows(history, order), select_rows(log_history, order)

        is_open = totals.isfinite().any(dim=1).tolist()
        places = [place for place, image in enumerate(going) if is_open[place] and len(ended[image]) < num_beams]
        if len(places) < len(going):
            going = [going[place] for place in places]
            if not going:
                break
            index = torch.tensor(places, device=device)
            next_token.keep(index)
            tokens, parents, totals, history, log_history = (
                one[index] for one in (tokens, parents, totals, history, log_history)
            )

    _add_cut_rows([ended[image] for image in going], totals, history, log_history, num_beams, length_penalty)
    return [sorted(found, key=lambda one: (not one.is_complete, -one.score))[:num_hypotheses] for found in ended]


def _add_cut_rows(
    ended: list[list[Decoded]],
    totals: Tensor,
    history: Tensor,
    log_history: Tensor,
    num_beams: int,
    length_penalty: float,
) -> None:
    """Fills up the lists of images whose rows the length limit cut."""
    length = history.shape[-1]
    scores = length_normalised(totals, length, length_penalty)
    for image, found in enumerate(ended):
        for row in range(totals.shape[1]):
            if len(found) < num_beams and bool(totals[image, row].isfinite()):
                found.append(_decoded(history[image, row], log_history[image, row], scores[image, row], False))


def _decoded(tokens: Tensor, log_probabilities: Tensor, score: Tensor, is_complete: bool) -> Decoded:
    return Decoded(tuple(tokens.tolist()), tuple(log_probabilities.tolist()), float(score), is_complete)
