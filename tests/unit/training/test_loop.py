"""The training loop: it learns, it resumes exactly, it stops with the batch named."""

import numpy as np
import pytest
import torch

from captiongen.data.batches import TrainingSet, encode_captions
from captiongen.errors import TrainingError
from captiongen.model.captioner import build_captioner
from captiongen.params import (
    AugmentationParams,
    DecodeParams,
    DecoderParams,
    EncoderParams,
    OptimisationParams,
    SelectionParams,
    TrainParams,
)
from captiongen.ports import NullTracker
from captiongen.training.loop import Trainer
from captiongen.training.snapshot import TrainingState, load_newest_snapshot
from tests.tiny import COLOURS, THINGS, tiny_captions, tiny_picture, tiny_tokenizer

CPU = torch.device("cpu")


def params(**optimisation) -> TrainParams:
    options = {"num_epochs": 4, "batch_size": 4, "learning_rate": 2e-3, "warmup_fraction": 0.1} | optimisation
    return TrainParams(
        seed=3,
        encoder=EncoderParams(name="test_convnext", output_stride=16),
        decoder=DecoderParams(width=32, num_layers=1, num_heads=2, dropout=0.1),
        augmentation=AugmentationParams(min_crop_area=0.8, colour=0.1, mirror=True),
        optimisation=OptimisationParams(**options),
        selection=SelectionParams(patience=50),
        decode=DecodeParams(max_tokens=12),
    )


def training_set() -> TrainingSet:
    tokenizer = tiny_tokenizer()
    pairs = [(colour, thing) for colour in COLOURS for thing in THINGS]
    captions = [tiny_captions(*pair) for pair in pairs]
    return TrainingSet(
        image_ids=["-".join(pair) for pair in pairs],
        entries=np.stack([np.asarray(tiny_picture(*pair)) for pair in pairs]),
        tokens=encode_captions(captions, tokenizer, max_tokens=12),
        mirrored_tokens=encode_captions(captions, tokenizer, max_tokens=12, is_mirrored=True),
        is_features=False,
    )


def captioner(options: TrainParams):
    torch.manual_seed(options.seed)
    return build_captioner(
        options.encoder,
        options.decoder,
        image_size_px=64,
        vocabulary_size=tiny_tokenizer().vocabulary_size,
        max_tokens=12,
    )


class Killed(BaseException):
    """Stands for the process ending at once."""


def trainer(options, folder, *, kill_after=None, ciders=None):
    def select(model, epoch):
        if kill_after is not None and epoch > kill_after:
            raise Killed
        return ciders[epoch - 1] if ciders else float(epoch)

    return Trainer(
        captioner(options), training_set(), options, select=select, snapshots=folder, tracker=NullTracker(), device=CPU
    )


def weights(fitted):
    return {name: tensor.clone() for name, tensor in fitted.captioner.state_dict().items()}


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_a_killed_training_goes_on_exactly(tmp_path, ema_decay):
    """Two epochs, a kill, and the rest give the weights and losses of one uninterrupted training."""
    options = params(ema_decay=ema_decay)
    straight = trainer(options, tmp_path / "straight").fit()
    with pytest.raises(Killed):
        trainer(options, tmp_path / "killed", kill_after=2).fit()
    resumed = trainer(options, tmp_path / "killed").fit()
    assert resumed.progress == straight.progress
    for name, tensor in weights(straight).items():
        assert torch.equal(tensor, weights(resumed)[name]), name


def test_a_damaged_newest_snapshot_is_passed_over(tmp_path):
    """One flipped bit in the newest snapshot costs an epoch and a warning, not the training."""
    options = params()
    straight = trainer(options, tmp_path / "straight").fit()
    with pytest.raises(Killed):
        trainer(options, tmp_path / "killed", kill_after=3).fit()
    damaged = tmp_path / "killed" / "epoch-0003" / "captioner.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    with pytest.warns(UserWarning, match="epoch-0003 is damaged"):
        resumed = trainer(options, tmp_path / "killed").fit()
    assert resumed.progress == straight.progress


def test_it_learns_what_it_is_shown(tmp_path):
    """The loss falls far below that of a model that knows no picture."""
    history = trainer(params(num_epochs=25, label_smoothing=0.0), tmp_path).fit().progress.history
    assert history[-1].train_loss < 0.5 * history[0].train_loss


def test_the_best_epoch_wins_and_patience_ends_the_training(tmp_path):
    """The weights of the epoch with the highest dev CIDEr are kept, and training stops when none is better for long."""
    options = params(num_epochs=8).model_copy(update={"selection": SelectionParams(patience=2)})
    fitted = trainer(options, tmp_path, ciders=[1.0, 9.0, 5.0, 6.0, 99.0]).fit()
    assert fitted.is_stopped_early
    assert (fitted.progress.best_epoch, fitted.progress.num_epochs_done) == (2, 4)
    reference = trainer(params(num_epochs=8), tmp_path / "two", kill_after=2, ciders=[1.0, 9.0])
    with pytest.raises(Killed):
        reference.fit()
    state = TrainingState(captioner(options), None, reference._state.optimiser)
    _, best = load_newest_snapshot(tmp_path / "two", state)
    assert all(torch.equal(tensor, best[name]) for name, tensor in weights(fitted).items())


def test_a_loss_that_is_no_number_names_the_batch(tmp_path):
    """Divergence stops the training and names images of the batch."""
    with pytest.raises(TrainingError, match=r"became (nan|inf).*in the batch with .*-(ball|box)"):
        trainer(params(num_epochs=30, learning_rate=1e30, max_gradient_norm=1e30), tmp_path).fit()


def test_accumulated_batches_equal_one_large_batch(tmp_path):
    """Two halves accumulated move the weights as their union does, but for rounding."""
    plain = params(num_epochs=1, batch_size=8, label_smoothing=0.0).model_copy(
        update={
            "augmentation": AugmentationParams(),
            "decoder": DecoderParams(width=32, num_layers=1, num_heads=2, dropout=0.0),
        }
    )
    halves = plain.model_copy(
        update={"optimisation": plain.optimisation.model_copy(update={"batch_size": 4, "accumulation_steps": 2})}
    )
    whole = weights(trainer(plain, tmp_path / "whole").fit())
    parts = weights(trainer(halves, tmp_path / "halves").fit())
    moved = max(float((whole[name] - captioner(plain).state_dict()[name]).abs().max()) for name in whole)
    apart = max(float((whole[name] - parts[name]).abs().max()) for name in whole)
    assert moved > 1e-4
    assert apart < 0.2 * moved
