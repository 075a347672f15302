"""Loss, learning rate and groups of weights."""

import pytest
import torch
from tests.tiny import tiny_tokenizer

from captiongen.model.captioner import build_captioner
from captiongen.params import DecoderParams, EncoderParams, OptimisationParams
from captiongen.training.objective import build_optimiser, caption_loss, set_learning_rate, warmup_cosine


def test_padding_costs_nothing():
    """The loss is the mean over real tokens, however long the padding."""
    tokens = torch.tensor([[[1, 5, 6, 2]]])
    padded = torch.tensor([[[1, 5, 6, 2, 0, 0]]])
    logits = torch.randn(1, 1, 5, 9, generator=torch.Generator().manual_seed(0))
    short = caption_loss(logits[:, :, :3], tokens, pad_id=0, label_smoothing=0.1)
    long = caption_loss(logits, padded, pad_id=0, label_smoothing=0.1)
    torch.testing.assert_close(short, long)


def test_the_rate_rises_then_falls_to_zero():
    """Warm-up is linear to one, the cosine ends near zero and never rises."""
    rates = [warmup_cosine(step, num_steps=100, warmup_fraction=0.1) for step in range(100)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert rates[10] == pytest.approx(1.0)
    assert all(later <= earlier for earlier, later in zip(rates[10:], rates[11:], strict=False))
    assert rates[-1] < 0.001


def test_the_encoder_moves_at_its_own_rate():
    """Encoder groups get the factor, decoder groups do not; biases do not decay."""
    captioner = build_captioner(
        EncoderParams(name="test_convnext"),
        DecoderParams(width=32, num_layers=1, num_heads=2),
        image_size_px=64,
        vocabulary_size=tiny_tokenizer().vocabulary_size,
        max_tokens=12,
    )
    optimiser = build_optimiser(captioner, OptimisationParams(num_epochs=1, weight_decay=0.1), encoder_factor=0.25)
    set_learning_rate(optimiser, 0.4)
    assert sorted({group["lr"] for group in optimiser.param_groups}) == pytest.approx([0.1, 0.4])
    for group in optimiser.param_groups:
        assert all((parameter.ndim >= 2) == (group["weight_decay"] > 0) for parameter in group["params"])
    grouped = sum(parameter.numel() for group in optimiser.param_groups for parameter in group["params"])
    assert grouped == sum(parameter.numel() for parameter in captioner.parameters())
