"""Self-critical training: captions are drawn, and those that score better than the image's others become likelier.

Source: Rennie et al., CVPR 2017 (arXiv 1612.00563), with the mean of the image's other samples as baseline as in Luo
2020 (arXiv 2003.09971). The end token is a word of the reward: without it a caption gains by stopping mid-sentence.
Document frequencies come from the training references, which are the only ones that training may know.

Captions are drawn from the policy, which is what the gradient assumes, or are the beams of its search, as in Cornia et
al. 2020 (arXiv 1912.08226): that is biased, and compares captions that the search may really write. A model that was
trained with label smoothing gives a tenth of its probability to words that fit nowhere; most of its samples hold one.

Shapes: B images, K captions drawn of each, T tokens, V vocabulary.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from captiongen.data.batches import Batch, pad
from captiongen.decode.beam import beam_search
from captiongen.decode.sample import sample
from captiongen.decode.stepper import Decoded
from captiongen.inference import SPECIAL_TOKENS, CachedNextToken, caption_log_probabilities
from captiongen.metrics.cider import CiderScorer
from captiongen.model.captioner import Captioner
from captiongen.text.normalise import metric_tokens
from captiongen.text.tokenizer import CaptionTokenizer
from captiongen.training.objective import features_of, predict_columns
from captiongen.training.processes import mean_over_processes

_END = "<eos>"
_LENGTH_PENALTY = 0.8  # orders the beams that end, and all of them are learned from
_CIDER_UNIT = 100.0  # rewards as papers count them, so that their learning rates fit


class SelfCritical:
    """The policy gradient of CIDEr-D.

    Args:
        references: image id -> training captions; a batch's positions count in this order.
        tokenizer: turns drawn tokens into words.
        num_samples: K, at least 2.
        max_tokens: longest caption, the end token counted.
        seed: decides, with the step and the image, what is sampled.
        draws: independent samples, or the K beams of one search.
    """

    def __init__(
        self,
        references: Mapping[str, Sequence[str]],
        tokenizer: CaptionTokenizer,
        *,
        num_samples: int,
        max_tokens: int,
        seed: int,
        draws: Literal["samples", "beams"] = "samples",
    ) -> None:
        self._image_ids = list(references)
        self._scorer = CiderScorer(
            {
                # Interned: all captions are held, and of most words there are thousands.
                image_id: [[*map(sys.intern, metric_tokens(text)), _END] for text in texts]
                for image_id, texts in references.items()
            }
        )
        self._tokenizer = tokenizer
        self._num_samples, self._max_tokens, self._seed = num_samples, max_tokens, seed
        self._draws = draws

    def __call__(self, captioner: Captioner, batch: Batch, *, step: int) -> Tensor:
        """Returns a scalar whose value is minus the mean CIDEr-D (/100) and whose gradient is the policy's."""
        captioner.eval()  # without dropout the captions are drawn from the very policy whose gradient is taken
        features = features_of(captioner, batch)
        drawn = [
            sorted(of_one, key=lambda one: len(one.tokens))
            for of_one in self._draw(captioner, features, batch.positions, step)
        ]
        rewards = self._rewards(batch.positions, drawn).to(features.device)  # (B, K)
        bos_id, pad_id = SPECIAL_TOKENS.bos_id, SPECIAL_TOKENS.pad_id
        tokens = pad([[[bos_id, *one.tokens] for one in of_one] for of_one in drawn], pad_id).to(features.device)
        columns = predict_columns(captioner, features, tokens, pad_id=pad_id)
        surrogate = features.new_zeros(())
        for advantages, (logits, targets) in zip(_advantages(rewards).unbind(1), columns, strict=True):
            surrogate = surrogate - (advantages * _log_probabilities(logits, targets)).sum()
        surrogate = surrogate / mean_over_processes(int((tokens[..., 1:] != pad_id).sum()))
        return surrogate - surrogate.detach() - rewards.sum() / mean_over_processes(rewards.numel())

    @torch.no_grad()
    def _draw(self, captioner: Captioner, features: Tensor, positions: Sequence[int], step: int) -> list[list[Decoded]]:
        policy = CachedNextToken(captioner.decoder, features)
        if self._draws == "beams":
            return beam_search(
                policy,
                num_images=len(features),
                special=SPECIAL_TOKENS,
                num_beams=self._num_samples,
                num_hypotheses=self._num_samples,
                length_penalty=_LENGTH_PENALTY,
                max_tokens=self._max_tokens,
                device=features.device,
            )
        seeds = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        # One for every image there is: what is drawn of an image does not depend on the others of its batch.
        of_images = torch.randint(2**62, (len(self._image_ids),), generator=seeds)[list(positions)].tolist()
        return sample(
            policy,
            generators=[torch.Generator(features.device).manual_seed(seed) for seed in of_images],
            special=SPECIAL_TOKENS,
            max_tokens=self._max_tokens,
            num_samples=self._num_samples,
            device=features.device,
        )

    def _rewards(self, positions: Sequence[int], drawn: Sequence[Sequence[Decoded]]) -> Tensor:
        """CIDEr-D / 100 of every caption drawn, (B, K)."""

        def words(one: Decoded) -> list[str]:
            return [*metric_tokens(self._tokenizer.decode(one.tokens)), *([_END] if one.is_complete else [])]

        return torch.tensor(
            [
                [self._scorer.score(self._image_ids[position], words(one)) / _CIDER_UNIT for one in of_one]
                for position, of_one in zip(positions, drawn, strict=True)
            ]
        )


def _advantages(rewards: Tensor) -> Tensor:
    """How much better each caption is than the mean of its image's others, (B, K)."""
    others = (rewards.sum(dim=1, keepdim=True) - rewards) / (rewards.shape[1] - 1)
    return rewards - others


def _log_probabilities(logits: Tensor, targets: Tensor) -> Tensor:
    """Log-probabilities of whole captions, (B,), from logits (B, 1, T, V) and targets (B, 1, T)."""
    of_tokens = caption_log_probabilities(logits).gather(-1, targets[..., None])[..., 0]
    # Padding is never written: its log-probability is -inf, which times zero would be NaN.
    return of_tokens.masked_fill(targets == SPECIAL_TOKENS.pad_id, 0.0).sum(dim=(1, 2))
