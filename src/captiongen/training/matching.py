"""A matcher learns which caption was written of which picture, from people's captions of a train split.

The loss is InfoNCE in both directions with a learned scale (van den Oord et al. 2018, arXiv 1807.03748; as in CLIP,
arXiv 2103.00020): in a batch of images and one caption of each, find the caption of the image and the image of the
caption. Features are pooled once, so an epoch over 6,000 images takes a second or two on one core.

Shapes: B images, C channels, K captions of an image, T tokens.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from tqdm import tqdm

from captiongen.errors import DataError, TrainingError
from captiongen.model.matcher import CaptionMatcher, pad_words
from captiongen.params import MatcherParams
from captiongen.text.tokenizer import CaptionTokenizer

_MAX_NORM = 1.0  # of the gradient


def train_matcher(
    params: MatcherParams, pooled: Tensor, captions: Sequence[Sequence[str]], tokenizer: CaptionTokenizer
) -> CaptionMatcher:
    """Trains a matcher; the same inputs and seed give the same weights on the same machine.

    Args:
        params: its size, and how it learns.
        pooled: (images, C) features of the train split's pictures.
        captions: of each image, at least one.
        tokenizer: of the captions.

    Raises:
        DataError: there are fewer than two images: nothing can be told apart.
        TrainingError: the loss or its gradient is no longer a number.
    """
    if len(pooled) < 2:
        raise DataError(f"Expected at least 2 captioned images in split train, found {len(pooled)}.")
    torch.manual_seed(params.seed)
    matcher = CaptionMatcher(params, num_channels=pooled.shape[1], tokenizer=tokenizer)
    tokens = [matcher.tokens(of_one) for of_one in captions]
    batch_size = min(params.batch_size, len(pooled))
    num_steps = len(pooled) // batch_size
    optimizer = AdamW(matcher.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay)
    total_steps = max(2, params.num_epochs * num_steps)  # the schedule divides by the steps after its peak
    schedule = OneCycleLR(optimizer, params.learning_rate, total_steps=total_steps, pct_start=0.1)
    for _ in tqdm(range(params.num_epochs), desc="matcher", unit="epoch", disable=None):
        order = torch.randperm(len(pooled))
        for step in range(num_steps):
            batch = order[step * batch_size : (step + 1) * batch_size]
            chosen = [tokens[i][torch.randint(len(tokens[i]), ())] for i in batch.tolist()]
            loss = _loss(matcher, pooled[batch], _forget_words(pad_words(chosen), params.word_dropout))
            if not loss.isfinite():
                raise TrainingError(f"The matcher's loss is {float(loss)}. Lower learning_rate.")
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(matcher.parameters(), _MAX_NORM)
            if not norm.isfinite():
                raise TrainingError(f"The norm of the matcher's gradient is {float(norm)}. Lower learning_rate.")
            optimizer.step()
            schedule.step()
    return matcher.eval()


def _loss(matcher: CaptionMatcher, pooled: Tensor, tokens: Tensor) -> Tensor:
    """(B, C) and (B, T), row by row of the same images -> InfoNCE, the mean of both directions."""
    logits = matcher.images(pooled) @ matcher.captions(tokens).T * matcher.log_scale.exp()  # (B, B)
    own = torch.arange(len(logits))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def _forget_words(tokens: Tensor, share: float) -> Tensor:
    """Reads some words as unknown ones, so that these have a meaning too."""
    is_forgotten = (torch.rand(tokens.shape) < share) & (tokens != CaptionTokenizer.pad_id)
    return tokens.masked_fill(is_forgotten, CaptionTokenizer.unk_id)
