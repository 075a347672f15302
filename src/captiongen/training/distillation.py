"""Distillation: a student learns from what a trained teacher says, beside or instead of what people said.

Shapes: B images, K captions, T tokens, V vocabulary, (C, G, G) feature map.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from captiongen.data.batches import Batch, FeatureMaps
from captiongen.model.captioner import Captioner
from captiongen.text.tokenizer import CaptionTokenizer
from captiongen.training.objective import cross_entropy_sum, features_of, predict_columns


class WordDistillation:
    """Cross-entropy with the human captions, and the distributions that a trained captioner has over the same words.

    Per token (1 - weight) * cross-entropy + weight * temperature ** 2 * KL(teacher || student), both distributions at
    that temperature; its square keeps the gradient's size where the temperature changes.

    Source: Hinton et al. 2015 (arXiv 1503.02531), word by word as in Kim and Rush 2016 (arXiv 1606.07947).

    Args:
        teacher: of the student's vocabulary; put into evaluation mode and closed to gradients.
        features: the teacher's of the training pictures, for batches of features; None where batches are pictures.
        weight: of the teacher, 0..1.
        temperature: above 0.
        label_smoothing: of the cross-entropy.
    """

    def __init__(
        self,
        teacher: Captioner,
        features: FeatureMaps | None,
        *,
        weight: float,
        temperature: float,
        label_smoothing: float,
    ) -> None:
        self._teacher, self._features = teacher.eval().requires_grad_(False), features
        self._weight, self._temperature, self._label_smoothing = weight, temperature, label_smoothing

    def __call__(self, captioner: Captioner, batch: Batch, *, step: int) -> Tensor:
        """Returns the loss in nats; nothing is drawn but dropout, from torch's own generator."""
        pad_id = CaptionTokenizer.pad_id
        learned = predict_columns(captioner, features_of(captioner, batch), batch.tokens, pad_id=pad_id)
        taught = predict_columns(self._teacher, self._features_of_teacher(batch), batch.tokens, pad_id=pad_id)
        total = batch.inputs.new_zeros((), dtype=torch.float32)
        for (logits, targets), (teacher_logits, _) in zip(learned, taught, strict=True):
            human = cross_entropy_sum(logits, targets, pad_id=pad_id, label_smoothing=self._label_smoothing)
            divergence = self._divergence(logits, teacher_logits)[targets != pad_id].sum()
            total = total + (1.0 - self._weight) * human + self._weight * divergence
        return total / max(1, int((batch.tokens[..., 1:] != pad_id).sum()))

    def _features_of_teacher(self, batch: Batch) -> Tensor:
        if self._features is None:
            return features_of(self._teacher, batch)
        return self._features.pick(batch.positions, batch.is_mirrored).to(batch.inputs.device).float()

    def _divergence(self, logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """How far the student is from the teacher at each token, (B, 1, T): temperature ** 2 * KL, in nats."""
        student, teacher = ((each.float() / self._temperature).log_softmax(dim=-1) for each in (logits, teacher_logits))
        return self._temperature**2 * F.kl_div(student, teacher, log_target=True, reduction="none").sum(dim=-1)
