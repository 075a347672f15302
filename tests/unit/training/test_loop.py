"""The training loop: it learns, it resumes exactly, it stops with the batch named."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from captiongen.data.batches import TrainingSet, encode_captions, epoch_batches
from captiongen.errors import TrainingError
from captiongen.model.captioner import build_captioner
from captiongen.params import (
    AugmentationParams,
    DecoderParams,
    EncoderParams,
    FinetunedPhase,
    SelectionParams,
    SelfCriticalPhase,
)
from captiongen.ports import NullTracker
from captiongen.training.loop import Start, Trainer
from captiongen.training.objective import CrossEntropy
from captiongen.training.snapshot import TrainingState, load_newest_snapshot
from tests.tiny import COLOURS, THINGS, tiny_captions, tiny_picture, tiny_tokenizer

CPU = torch.device("cpu")
SEED = 3


def phase(**changes) -> FinetunedPhase:
    options = {
        "kind": "finetuned",
        "num_epochs": 4,
        "batch_size": 4,
        "learning_rate": 2e-3,
        "warmup_fraction": 0.1,
        "precision": "fp32",  # or sums would depend on the processor
        "augmentation": AugmentationParams(min_crop_area=0.8, colour=0.1, mirror=True),
    }
    return FinetunedPhase(**options | changes)


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


def captioner(*, dropout=0.1):
    torch.manual_seed(SEED)
    return build_captioner(
        EncoderParams(name="test_convnext", output_stride=16),
        DecoderParams(width=32, num_layers=1, num_heads=2, dropout=dropout),
        image_size_px=64,
        vocabulary_size=tiny_tokenizer().vocabulary_size,
        max_tokens=12,
    )


class Killed(BaseException):
    """Stands for the process ending at once."""


def trainer(
    options,
    folder,
    *,
    kill_after=None,
    ciders=None,
    patience=50,
    start=None,
    dropout=0.1,
    weights=None,
    objective=None,
):
    def select(model, epoch):
        if kill_after is not None and epoch > kill_after:
            raise Killed
        return ciders[epoch - 1] if ciders else float(epoch)

    return Trainer(
        captioner(dropout=dropout),
        replace(training_set(), weights=weights),
        options,
        objective=objective or CrossEntropy(getattr(options, "label_smoothing", 0.0)),
        select=select,
        selection=SelectionParams(patience=patience),
        seed=SEED,
        start=start or Start(),
        snapshots=folder,
        tracker=NullTracker(),
        device=CPU,
    )


def weights(fitted):
    return {name: tensor.clone() for name, tensor in fitted.model.state_dict().items()}


@pytest.mark.parametrize("averaging", [{}, {"ema_decay": 0.9}, {"averages_epochs": True}])
def test_a_killed_training_goes_on_exactly(tmp_path, averaging):
    """Two epochs, a kill, and the rest give the weights and losses of one uninterrupted training."""
    options = phase(**averaging)
    straight = trainer(options, tmp_path / "straight").fit()
    with pytest.raises(Killed):
        trainer(options, tmp_path / "killed", kill_after=2).fit()
    resumed = trainer(options, tmp_path / "killed").fit()
    assert resumed.progress == straight.progress
    for name, tensor in weights(straight).items():
        assert torch.equal(tensor, weights(resumed)[name]), name


def test_a_killed_training_on_weighted_images_goes_on_exactly(tmp_path):
    """Which images an epoch repeats depends on its number only, so a resumed training repeats the same ones."""
    options, of_images = phase(num_epochs=2), [0.0, 0.7, 2.5, *[1.0] * (len(COLOURS) * len(THINGS) - 3)]
    straight = trainer(options, tmp_path / "straight", weights=of_images).fit()
    with pytest.raises(Killed):
        trainer(options, tmp_path / "killed", kill_after=1, weights=of_images).fit()
    resumed = trainer(options, tmp_path / "killed", weights=of_images).fit()
    assert resumed.progress == straight.progress
    for name, tensor in weights(straight).items():
        assert torch.equal(tensor, weights(resumed)[name]), name


def test_a_damaged_newest_snapshot_is_passed_over(tmp_path):
    """One flipped bit in the newest snapshot costs an epoch and a warning, not the training."""
    options = phase()
    straight = trainer(options, tmp_path / "straight").fit()
    with pytest.raises(Killed):
        trainer(options, tmp_path / "killed", kill_after=3).fit()
    damaged = tmp_path / "killed" / "epoch-0003" / "model.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    with pytest.warns(UserWarning, match="epoch-0003 is damaged"):
        resumed = trainer(options, tmp_path / "killed").fit()
    assert resumed.progress == straight.progress


def test_damaged_snapshots_do_not_push_out_whole_ones(tmp_path):
    """When all snapshots are damaged the training begins anew, and its own snapshots are kept from then on."""
    options = phase()
    with pytest.raises(Killed):
        trainer(options, tmp_path, kill_after=3).fit()
    for folder in tmp_path.glob("epoch-*"):
        (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="is damaged"), pytest.raises(Killed):
        trainer(options, tmp_path, kill_after=2).fit()
    assert sorted(folder.name for folder in tmp_path.glob("epoch-*")) == ["epoch-0001", "epoch-0002"]


def test_the_mean_of_the_epochs_ends_is_judged_and_kept(tmp_path):
    """With `averages_epochs` the outcome is the plain mean of what each epoch ended with."""
    ends = []
    for num_epochs in (1, 2, 3):
        folder = tmp_path / str(num_epochs)
        with pytest.raises(Killed):
            trainer(phase(), folder, kill_after=num_epochs).fit()
        ends.append(load_file(folder / f"epoch-{num_epochs:04d}" / "model.safetensors"))
    averaged = trainer(phase(averages_epochs=True), tmp_path / "mean", ciders=[1.0, 2.0, 3.0, 0.0], patience=1).fit()
    assert averaged.progress.best_epoch == 3
    for name, tensor in weights(averaged).items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, sum(end[name] for end in ends) / 3, msg=name)


def test_it_learns_what_it_is_shown(tmp_path):
    """The loss falls far below that of a model that knows no picture."""
    history = trainer(phase(num_epochs=25, label_smoothing=0.0), tmp_path).fit().progress.history
    assert history[-1].train_loss < 0.5 * history[0].train_loss


def test_the_best_epoch_wins_and_patience_ends_the_training(tmp_path):
    """The weights of the epoch with the highest dev CIDEr are kept, and training stops when none is better for long."""
    options = phase(num_epochs=8)
    fitted = trainer(options, tmp_path / "whole", ciders=[1.0, 9.0, 5.0, 6.0, 99.0], patience=2).fit()
    assert (fitted.progress.best_epoch, fitted.progress.num_epochs_done) == (2, 4)
    reference = trainer(phase(num_epochs=8), tmp_path / "two", kill_after=2, ciders=[1.0, 9.0])
    with pytest.raises(Killed):
        reference.fit()
    state = TrainingState(captioner(), None, reference._state.optimiser)
    _, best = load_newest_snapshot(tmp_path / "two", state)
    assert all(torch.equal(tensor, best[name]) for name, tensor in weights(fitted).items())


def test_a_training_that_gave_up_does_not_go_on(tmp_path):
    """Killed after its last look, a training that patience ended is found ended, not an epoch further."""
    options = phase(num_epochs=8)
    ended = trainer(options, tmp_path, ciders=[9.0, 5.0, 5.0], patience=2).fit()
    again = trainer(options, tmp_path, ciders=[], patience=2, kill_after=0).fit()
    assert again.progress == ended.progress
    assert all(torch.equal(tensor, weights(again)[name]) for name, tensor in weights(ended).items())


def test_a_phase_that_does_not_help_is_undone(tmp_path):
    """When no epoch beats what the phases before reached, the weights and the score from then are given back."""
    before = captioner().state_dict()
    start = Start(num_epochs=3, num_steps=30, best_epoch=2, best_score=50.0)
    fitted = trainer(phase(num_epochs=2), tmp_path, ciders=[0, 0, 0, 40.0, 49.0], start=start).fit()
    assert (fitted.reached.best_epoch, fitted.reached.best_score) == (2, 50.0)
    assert [record.epoch for record in fitted.progress.history] == [4, 5]
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(fitted).items())


def test_a_loss_that_is_no_number_names_the_batch(tmp_path):
    """Divergence stops the training and names images of the batch."""
    with pytest.raises(TrainingError, match=r"became (nan|inf).*in the batch with .*-(ball|box)"):
        trainer(phase(num_epochs=30, learning_rate=1e30, max_gradient_norm=1e30), tmp_path).fit()


class SteepAt:
    """Cross-entropy whose gradient, but not its value, is infinite in the batch of `number`, 0 for the first."""

    def __init__(self, number):
        self._number, self._num_batches = number, 0

    def __call__(self, model, batch, *, step):
        loss = CrossEntropy(0.0)(model, batch, step=step)
        self._num_batches += 1
        if self._num_batches - 1 != self._number:
            return loss
        weight = next(model.decoder.parameters())
        return loss + (weight - weight.detach()).sum().sqrt()  # 0, where the root is infinitely steep


@pytest.mark.parametrize(("accumulation_steps", "named"), [(1, "in the batch with"), (2, "one of the 2 batches")])
def test_a_gradient_that_is_no_number_names_the_batch_and_moves_no_weight(tmp_path, accumulation_steps, named):
    """Under a finite loss it stops the training at its own step, with images of the batches of that step."""
    options = phase(learning_rate=1e-30, batch_size=2, accumulation_steps=accumulation_steps)
    halted = trainer(options, tmp_path, objective=SteepAt(2))
    batches = epoch_batches(training_set(), batch_size=2, augmentation=options.augmentation, seed=SEED, epoch=1)
    positions = [list(batch.positions) for batch in batches][2 : 2 + accumulation_steps]
    images = [", ".join(training_set().image_ids[one] for one in batch) for batch in positions]
    step = 2 // accumulation_steps
    with pytest.raises(TrainingError, match=rf"norm became (nan|inf) at step {step} .*{named}.* {'; '.join(images)}\."):
        halted.fit()
    assert all(tensor.isfinite().all() for tensor in halted._model.state_dict().values())
    assert not list(tmp_path.glob("epoch-*"))


class RisingFrom:
    """Cross-entropy, with 3 added from epoch `number` on and a little more in the last batch."""

    def __init__(self, number, num_batches):
        self._first, self._num_batches = (number - 1) * num_batches, num_batches

    def __call__(self, model, batch, *, step):
        is_last = (step + 1) % self._num_batches == 0
        return CrossEntropy(0.0)(model, batch, step=step) + (3.0 + 0.5 * is_last if step >= self._first else 0.0)


def test_a_phase_whose_loss_has_grown_ends_with_its_best_weights(tmp_path, capsys):
    """An epoch 1 above the first one ends the phase, with a warning that names the worst batch, and for good."""
    options = phase(num_epochs=8, batch_size=2, learning_rate=1e-6)
    rising, ciders = RisingFrom(3, 4), [9.0, 5.0, 5.0]
    fitted = trainer(options, tmp_path, ciders=ciders, objective=rising).fit()
    assert (fitted.progress.num_epochs_done, fitted.progress.best_epoch) == (3, 1)
    *_, last = epoch_batches(training_set(), batch_size=2, augmentation=options.augmentation, seed=SEED, epoch=3)
    images = ", ".join(training_set().image_ids[position] for position in last.positions)
    said = capsys.readouterr().err
    assert "phase finetuned has diverged: the loss of epoch 3 is" in said
    assert f"in the batch with {images}." in said
    again = trainer(options, tmp_path, ciders=[], kill_after=0, objective=rising).fit()
    assert again.progress == fitted.progress
    assert all(torch.equal(tensor, weights(again)[name]) for name, tensor in weights(fitted).items())


def test_a_self_critical_loss_may_grow(tmp_path):
    """Its level says nothing: such a phase goes on, and the dev score decides."""
    options = SelfCriticalPhase(kind="self_critical", num_epochs=4, batch_size=2, learning_rate=1e-6, precision="fp32")
    fitted = trainer(options, tmp_path, objective=RisingFrom(2, 4)).fit()
    assert fitted.progress.num_epochs_done == 4


@pytest.mark.parametrize("accumulation_steps", [2, 5])
def test_accumulated_batches_equal_one_large_batch(tmp_path, accumulation_steps):
    """Two halves accumulated move the weights as their union does, but for rounding; so does a group cut short."""
    plain = phase(num_epochs=1, batch_size=8, label_smoothing=0.0, augmentation=AugmentationParams())
    halves = plain.model_copy(update={"batch_size": 4, "accumulation_steps": accumulation_steps})
    whole = weights(trainer(plain, tmp_path / "whole", dropout=0.0).fit())
    parts = weights(trainer(halves, tmp_path / "halves", dropout=0.0).fit())
    moved = max(float((whole[name] - captioner().state_dict()[name]).abs().max()) for name in whole)
    apart = max(float((whole[name] - parts[name]).abs().max()) for name in whole)
    assert moved > 1e-4
    assert apart < 0.2 * moved
