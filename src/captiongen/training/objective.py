"""What training minimises, and how fast the weights move.

Shapes: B images, K captions, T tokens, V vocabulary.
"""

import math
from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn, optim
from torch.nn import functional as F

from captiongen.data.batches import Batch
from captiongen.model.captioner import Captioner
from captiongen.model.decoder import CaptionDecoder
from captiongen.params import FinetunedPhase, PhaseParams
from captiongen.text.tokenizer import CaptionTokenizer
from captiongen.training.processes import mean_over_processes

Model_contra = TypeVar("Model_contra", bound=nn.Module, contravariant=True)


class Objective(Protocol[Model_contra]):
    """What one phase minimises."""

    def __call__(self, model: Model_contra, batch: Batch, /, *, step: int) -> Tensor:
        """Returns the loss of a batch, a scalar; `step` seeds what is drawn.

        Where several processes train, each holds its share of the batch: the loss is the share's sum over the mean of
        the processes' counts (`captiongen.training.processes`), so that the mean over processes is the batch's loss.
        """


class CrossEntropy:
    """Mean cross-entropy per token of the human captions.

    Args:
        label_smoothing: share of the target spread over all words (arXiv 1512.00567).
    """

    def __init__(self, label_smoothing: float) -> None:
        self._label_smoothing = label_smoothing

    def __call__(self, captioner: Captioner, batch: Batch, *, step: int) -> Tensor:
        """Returns the loss in nats; nothing is drawn but dropout, from torch's own generator."""
        features = features_of(captioner, batch)
        pad_id = CaptionTokenizer.pad_id
        return caption_loss(captioner, features, batch.tokens, pad_id=pad_id, label_smoothing=self._label_smoothing)


def features_of(captioner: Captioner, batch: Batch) -> Tensor:
    """(B, C, G, G) float features of a batch: those it holds, or those of its pictures."""
    return batch.inputs.float() if batch.is_features else captioner.encoder(batch.inputs)


def caption_loss(
    captioner: Captioner, features: Tensor, tokens: Tensor, *, pad_id: int, label_smoothing: float
) -> Tensor:
    """Mean cross-entropy per token of a batch, or of a process's share of it (`Objective`), in nats.

    Args:
        captioner: the model.
        features: (B, C, G, G).
        tokens: (B, K, T), begin and end tokens included, an image's captions in the order of their lengths; padding is
            not predicted.
        pad_id: the padding token.
        label_smoothing: share of the target spread over all words (arXiv 1512.00567).
    """
    total, num_targets = features.new_zeros((), dtype=torch.float32), int((tokens[..., 1:] != pad_id).sum())
    for logits, targets in predict_columns(captioner, features, tokens, pad_id=pad_id):
        total = total + cross_entropy_sum(logits, targets, pad_id=pad_id, label_smoothing=label_smoothing)
    return total / max(1.0, mean_over_processes(num_targets))


def cross_entropy_sum(logits: Tensor, targets: Tensor, *, pad_id: int, label_smoothing: float) -> Tensor:
    """Cross-entropy in nats, summed over the tokens that are no padding, from (B, 1, T, V) and (B, 1, T)."""
    return F.cross_entropy(
        logits.flatten(0, 2).float(),
        targets.flatten(),
        ignore_index=pad_id,
        label_smoothing=label_smoothing,
        reduction="sum",
    )


def divergence(logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    """KL(teacher || student) in nats of distributions at a temperature, times its square; (..., V) -> (...).

    The square keeps the gradient's size where the temperature changes.

    Source: Hinton et al. 2015 (arXiv 1503.02531).
    """
    student, teacher = ((each.float() / temperature).log_softmax(dim=-1) for each in (logits, teacher_logits))
    return temperature**2 * F.kl_div(student, teacher, log_target=True, reduction="none").sum(dim=-1)


def predict_columns(
    captioner: Captioner, features: Tensor, tokens: Tensor, *, pad_id: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Predicts each token of a batch's captions from those before it.

    The k-th captions of all images go through the decoder together, cut to the longest of them. Where captions stand in
    the order of their lengths little padding is computed, and the image's keys and values are shared by all K passes.

    Yields:
        For each k with anything to predict: logits (B, 1, T', V) and targets (B, 1, T').
    """
    start = captioner.decoder.start(features)
    lengths = (tokens != pad_id).sum(dim=-1).amax(dim=0).tolist()  # of the longest k-th caption
    for column, length in enumerate(lengths):
        if length < 2:
            continue
        captions = tokens[:, column : column + 1, :length]
        logits, _, _ = captioner.decoder.advance(start, captions[..., :-1])
        yield logits, captions[..., 1:]


def warmup_cosine(step: int, *, num_steps: int, warmup_fraction: float) -> float:
    """Share of the full learning rate at a step: a linear rise, then half a cosine to zero."""
    num_warmup = max(1, round(num_steps * warmup_fraction))
    if step < num_warmup:
        return (step + 1) / num_warmup
    progress = (step - num_warmup) / max(1, num_steps - num_warmup)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def build_optimiser(model: nn.Module, phase: PhaseParams) -> optim.Optimizer:
    """AdamW, or timm's Muon, over what the phase trains: the decoder of a captioner, or all of another model.

    Matrices decay, biases and norms do not. What was pretrained of a decoder moves at its own rate, and so does a
    finetuned encoder, its earlier blocks slower than its later ones (timm's layer decay). Muon leaves biases, norms,
    depthwise convolutions and tables, where a row is a word or a place, to NAdamW.
    """
    from timm.optim import Muon, param_groups_layer_decay, param_groups_weight_decay

    if not isinstance(model, Captioner):
        groups = [{**group, "rate_factor": 1.0} for group in param_groups_weight_decay(model, phase.weight_decay)]
    else:
        groups = _decoder_groups(model.decoder, phase.weight_decay)
        if isinstance(phase, FinetunedPhase):
            factor, backbone = phase.encoder_learning_rate_factor, model.encoder.backbone
            of_encoder = param_groups_layer_decay(backbone, phase.weight_decay, layer_decay=phase.layer_decay)
            groups += [{**group, "rate_factor": factor * group["lr_scale"]} for group in of_encoder]
    if phase.optimiser == "adamw":
        return optim.AdamW(groups, lr=phase.learning_rate, betas=(0.9, 0.98))
    tables = _tables(model)
    groups = [
        {**group, "params": parameters, "use_fallback": is_fallback}
        for group in groups
        for is_fallback in (False, True)
        if (parameters := [p for p in group["params"] if (p.ndim < 2 or id(p) in tables) is is_fallback])
    ]
    optimiser: optim.Optimizer = Muon(groups, lr=phase.learning_rate, nesterov=True, betas=(0.9, 0.98))
    return optimiser


def _tables(model: nn.Module) -> set[int]:
    of_words = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    return of_words | {id(module.token_positions) for module in model.modules() if isinstance(module, CaptionDecoder)}


def _decoder_groups(decoder: CaptionDecoder, weight_decay: float) -> list[dict[str, Any]]:
    from timm.optim import param_groups_weight_decay

    pretrained = {id(parameter) for parameter in decoder.pretrained_parameters()}
    factor = decoder.params.pretrained_learning_rate_factor
    return [
        {**group, "params": parameters, "rate_factor": rate_factor}
        for group in param_groups_weight_decay(decoder, weight_decay)
        for is_pretrained, rate_factor in ((False, 1.0), (True, factor))
        if (parameters := [one for one in group["params"] if (id(one) in pretrained) is is_pretrained])
    ]


def set_learning_rate(optimiser: optim.Optimizer, learning_rate: float) -> None:
    """Sets the rate of each group to `learning_rate` times the group's own factor."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate * group["rate_factor"]


def clip_gradients(module: nn.Module, max_norm: float) -> float:
    """Scales gradients down to `max_norm` and returns the norm they had."""
    return float(nn.utils.clip_grad_norm_(module.parameters(), max_norm))
