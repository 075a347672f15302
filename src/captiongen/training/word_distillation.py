"""A captioner learns from a trained captioner: its words, beside those of people.

Shapes: B images, K captions, T tokens, V vocabulary, (C, G, G) feature map.
"""

import torch
from torch import Tensor

from captiongen.data.batches import Batch, FeatureMaps
from captiongen.model.captioner import Captioner
from captiongen.text.tokenizer import CaptionTokenizer
from captiongen.training.objective import cross_entropy_sum, divergence, features_of, predict_columns
from captiongen.training.processes import mean_over_processes


class WordDistillation:
    """Cross-entropy with the human captions, and the distributions that a trained captioner has over the same words.

    Per token (1 - weight) * cross-entropy + weight * `divergence`.

    Source: word-level distillation of Kim and Rush 2016 (arXiv 1606.07947).

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
            from_teacher = divergence(logits, teacher_logits, temperature=self._temperature)[targets != pad_id].sum()
            total = total + (1.0 - self._weight) * human + self._weight * from_teacher
        return total / max(1.0, mean_over_processes(batch.num_tokens))

    def _features_of_teacher(self, batch: Batch) -> Tensor:
        if self._features is None:
            return features_of(self._teacher, batch)
        return self._features.pick(batch.positions, batch.is_mirrored).to(batch.inputs.device).float()
