"""Loss, learning rate and groups of weights."""

import itertools

import pytest
import torch

from captiongen.model.captioner import build_captioner
from captiongen.params import EncoderParams, FinetunedPhase, FrozenPhase
from captiongen.training.objective import build_optimiser, caption_loss, set_learning_rate, warmup_cosine
from tests.tiny import language_model_params, tiny_captioner


def test_the_loss_is_the_plain_cross_entropy_over_real_tokens():
    """Going column by column, cut to length, gives the mean over all real tokens of one padded pass."""
    captioner = tiny_captioner()
    features = torch.randn(2, 64, 2, 2, generator=torch.Generator().manual_seed(1))
    tokens = torch.tensor([[[1, 5, 2, 0, 0, 0], [1, 6, 7, 8, 2, 0]], [[1, 9, 2, 0, 0, 0], [1, 4, 5, 6, 7, 2]]])
    found = caption_loss(captioner, features, tokens, pad_id=0, label_smoothing=0.1)
    logits, _, _ = captioner.decoder.advance(captioner.decoder.start(features), tokens[..., :-1])
    plain = torch.nn.functional.cross_entropy(
        logits.flatten(0, 2), tokens[..., 1:].flatten(), ignore_index=0, label_smoothing=0.1
    )
    torch.testing.assert_close(found, plain)


def test_images_with_fewer_captions_add_nothing():
    """An empty row of an image with fewer captions changes neither the loss nor its mean."""
    captioner = tiny_captioner()
    features = torch.randn(1, 64, 2, 2, generator=torch.Generator().manual_seed(2))
    alone = torch.tensor([[[1, 5, 6, 2]]])
    with_empty_row = torch.tensor([[[1, 5, 6, 2], [0, 0, 0, 0]]])
    losses = [
        caption_loss(captioner, features, rows, pad_id=0, label_smoothing=0.0) for rows in (alone, with_empty_row)
    ]
    torch.testing.assert_close(*losses)


def test_the_rate_rises_then_falls_to_zero():
    """Warm-up is linear to one, the cosine ends near zero and never rises."""
    rates = [warmup_cosine(step, num_steps=100, warmup_fraction=0.1) for step in range(100)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert rates[10] == pytest.approx(1.0)
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates[10:]))
    assert rates[-1] < 0.001


def test_the_encoder_moves_at_its_own_rate():
    """Encoder groups get the factor, decoder groups do not; biases do not decay."""
    captioner = tiny_captioner()
    phase = FinetunedPhase(kind="finetuned", num_epochs=1, weight_decay=0.1, encoder_learning_rate_factor=0.25)
    optimiser = build_optimiser(captioner, phase)
    set_learning_rate(optimiser, 0.4)
    assert sorted({group["lr"] for group in optimiser.param_groups}) == pytest.approx([0.1, 0.4])
    for group in optimiser.param_groups:
        assert all((parameter.ndim >= 2) >= (group["weight_decay"] > 0) for parameter in group["params"])
    grouped = sum(parameter.numel() for group in optimiser.param_groups for parameter in group["params"])
    assert grouped == sum(parameter.numel() for parameter in captioner.parameters())


def test_pretrained_layers_move_at_their_own_rate():
    """Of a pretrained decoder all but what looks at the image gets the factor; biases of neither decay."""
    params = language_model_params("gpt2", pretrained_learning_rate_factor=0.1)
    captioner = build_captioner(
        EncoderParams(name="test_convnext"), params, image_size_px=64, vocabulary_size=20, max_tokens=12
    )
    optimiser = build_optimiser(captioner, FrozenPhase(kind="frozen", num_epochs=1, weight_decay=0.1))
    factor_of = {id(one): group["rate_factor"] for group in optimiser.param_groups for one in group["params"]}
    for name, parameter in captioner.decoder.named_parameters():
        looks_at_image = any(part in name for part in ("bridge", "memory_norm", "cross_norm", "cross_attention"))
        assert factor_of[id(parameter)] == (1.0 if looks_at_image else 0.1), name
    for group in optimiser.param_groups:
        assert all((parameter.ndim >= 2) >= (group["weight_decay"] > 0) for parameter in group["params"])


def test_earlier_blocks_of_the_encoder_move_slower():
    """With layer decay the rates fall from the last block of the encoder to its first."""
    captioner = tiny_captioner()
    phase = FinetunedPhase(kind="finetuned", num_epochs=1, layer_decay=0.5)
    optimiser = build_optimiser(captioner, phase)
    factor_of = {
        id(parameter): group["rate_factor"] for group in optimiser.param_groups for parameter in group["params"]
    }
    stem, *_, last = captioner.encoder.backbone.parameters()
    assert factor_of[id(stem)] < factor_of[id(last)] <= 1.0


def test_a_frozen_encoder_is_not_trained():
    """The optimiser of a frozen phase holds the decoder's weights and no others."""
    captioner = tiny_captioner()
    optimiser = build_optimiser(captioner, FrozenPhase(kind="frozen", num_epochs=1))
    trained = {id(parameter) for group in optimiser.param_groups for parameter in group["params"]}
    assert trained == {id(parameter) for parameter in captioner.decoder.parameters()}


def test_muon_moves_matrices_and_leaves_the_rest_to_nadamw():
    """Orthogonal steps are for matrices: biases, norms, depthwise filters and tables of words or places have none."""
    captioner = tiny_captioner()
    phase = FinetunedPhase(kind="finetuned", num_epochs=1, optimiser="muon", encoder_learning_rate_factor=0.5)
    optimiser = build_optimiser(captioner, phase)
    set_learning_rate(optimiser, 0.01)
    assert {group["lr"] for group in optimiser.param_groups} == {0.01, 0.005}
    for parameter in captioner.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimiser.step()
    by_muon = {id(parameter) for parameter, slots in optimiser.state.items() if "momentum_buffer" in slots}
    for name, parameter in captioner.named_parameters():
        is_table = name in ("decoder.embedding.weight", "decoder.token_positions")
        is_matrix = parameter.ndim >= 2 and parameter.shape[1] > 1 and not is_table
        assert (id(parameter) in by_muon) is is_matrix, name
