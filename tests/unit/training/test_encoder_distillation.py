"""An encoder learns a teacher's map and classes from the very views that the teacher looks at."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from captiongen.data.batches import Batch, TrainingSet
from captiongen.errors import EncoderError, TrainingError
from captiongen.files import sha256_of_file
from captiongen.model.encoder import ImageEncoder, build_encoder
from captiongen.params import DistilledPhase, EncoderParams, SelectionParams
from captiongen.ports import NullTracker
from captiongen.training.encoder_distillation import EncoderDistillation, EncoderStudent, MapSelector, Teacher
from captiongen.training.loop import Fitted, Start, Trainer
from captiongen.training.precision import has_native_bf16
from tests.tiny import COLOURS, THINGS, tiny_picture

CPU = torch.device("cpu")
SEED = 3


def pictures(*seeds: int) -> np.ndarray:
    kinds = [(colour, thing, seed) for colour in COLOURS for thing in THINGS for seed in seeds]
    return np.stack([np.asarray(tiny_picture(colour, thing, seed=seed)) for colour, thing, seed in kinds])


TRAIN, DEV = pictures(0, 1), pictures(9)


@pytest.fixture(scope="module")
def phase(tmp_path_factory):
    """Makes phases with one teacher, of other make and coarser grid than the student."""
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    save_file({k: v.contiguous() for k, v in timm.create_model("test_efficientnet").state_dict().items()}, path)
    named = {"name": "test_efficientnet", "weights": str(path), "weights_sha256": sha256_of_file(path)}

    def make(**changes) -> DistilledPhase:
        options = {"num_epochs": 2, "batch_size": 4, "learning_rate": 5e-3, "teacher": named, "precision": "fp32"}
        options["augmentation"] = {"min_crop_area": 0.7, "mirror": True}
        return DistilledPhase.model_validate({"kind": "distilled", **options, **changes})

    return make


def student_encoder(name: str = "test_convnext", *, output_stride: int = 16) -> ImageEncoder:
    torch.manual_seed(SEED)
    return build_encoder(EncoderParams(name=name, output_stride=output_stride))


def maps_of(teacher: Teacher, images: np.ndarray) -> np.ndarray:
    return teacher.encoder(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()


def trainer(phase: DistilledPhase, folder: Path, *, kill_after: int | None = None) -> Trainer:
    with_hints = phase.hint_weight > 0.0
    teacher = Teacher(build_encoder(phase.teacher, with_classifier=True), TRAIN, with_hints=with_hints)
    encoder = student_encoder()
    torch.manual_seed(SEED)
    select = MapSelector(teacher, DEV)

    def judge(model: EncoderStudent, epoch: int) -> float:
        if kill_after is not None and epoch > kill_after:
            raise Killed
        return select(model, epoch)

    return Trainer(
        EncoderStudent(encoder, teacher, image_size_px=64, with_hints=with_hints),
        TrainingSet([str(i) for i in range(len(TRAIN))], TRAIN, [[]] * len(TRAIN), [[]] * len(TRAIN), False),
        phase,
        objective=EncoderDistillation(teacher, phase),
        select=judge,
        selection=SelectionParams(patience=50),
        seed=SEED,
        start=Start(),
        snapshots=folder,
        tracker=NullTracker(),
        device=CPU,
    )


class Killed(BaseException):
    """Stands for the process ending at once."""


def weights(fitted: Fitted) -> dict[str, torch.Tensor]:
    return fitted.model.state_dict()


def test_a_random_encoder_learns_its_teacher_s_map(tmp_path, phase):
    """From random weights it explains a fifth of the variance of the map of unseen pictures; the loss falls."""
    fitted = trainer(phase(num_epochs=10), tmp_path).fit()
    first, *_, last = fitted.progress.history
    assert last.train_loss < 0.8 * first.train_loss
    assert fitted.progress.best_score > 0.2
    assert fitted.progress.best_score == max(row.dev_r2 for row in fitted.progress.history)
    assert all(row.dev_cider is None for row in fitted.progress.history)


@pytest.mark.parametrize(
    "optimiser",
    [
        "adamw",
        pytest.param(
            "muon", marks=pytest.mark.skipif(not has_native_bf16(CPU), reason="Muon is refused without native bfloat16")
        ),
    ],
)
def test_a_killed_distillation_goes_on_exactly(tmp_path, phase, optimiser):
    """With blended small views, hints and an average, a kill and the rest give the uninterrupted outcome."""
    options = phase(mixup=True, ema_decay=0.5, hint_weight=0.5, view_size_px=48, optimiser=optimiser)
    straight = trainer(options, tmp_path / "straight").fit()
    with pytest.raises(Killed):
        trainer(options, tmp_path / "killed", kill_after=1).fit()
    resumed = trainer(options, tmp_path / "killed").fit()
    assert resumed.progress == straight.progress
    assert all(torch.equal(tensor, weights(resumed)[name]) for name, tensor in weights(straight).items())


def all_knowing(teacher: Teacher, *, with_hints: bool = False) -> EncoderStudent:
    """A student whose encoder is its teacher's, and whose projectors standardise as the teacher does."""
    student = EncoderStudent(teacher.encoder, teacher, image_size_px=64, with_hints=with_hints)
    standards = {student.projector: teacher.standardise}
    standards |= {student.hint_projectors[str(stride)]: hint for stride, hint in teacher.hints.items() if with_hints}
    for projector, standardise in standards.items():
        origin = standardise(torch.zeros(1, standardise.num_channels, 2, 2), 2)[0, :, 0, 0]
        slope = standardise(torch.ones(1, standardise.num_channels, 2, 2), 2)[0, :, 0, 0] - origin
        with torch.no_grad():
            projector.weight.copy_(torch.diag(slope)[:, :, None, None])
            projector.bias.copy_(origin)
    return student.eval()


@pytest.mark.parametrize("mixup", [False, True])
@pytest.mark.parametrize("hint_weight", [0.0, 0.5])
def test_student_and_teacher_look_at_the_same_view(phase, mixup, hint_weight):
    """A student that sees as its teacher does, on every stage, has nothing to learn, blended pictures or not."""
    options = phase(mixup=mixup, class_weight=0.0, hint_weight=hint_weight)
    teacher = Teacher(build_encoder(options.teacher), TRAIN, with_hints=hint_weight > 0.0)
    images = torch.from_numpy(TRAIN[:4]).permute(0, 3, 1, 2)
    batch = Batch(range(4), images, torch.zeros(4, 0, 1), is_features=False, is_mirrored=[False] * 4)
    student = all_knowing(teacher, with_hints=hint_weight > 0.0)
    loss = EncoderDistillation(teacher, options)(student, batch, step=0)
    assert loss.item() == pytest.approx(0.0, abs=1e-6)


def test_a_hint_is_the_squared_error_of_a_stage_that_both_have(phase):
    """With weight w the loss grows by w times the sum over common strides of the maps' squared errors."""
    teacher = Teacher(build_encoder(phase().teacher), TRAIN, with_hints=True)
    student = EncoderStudent(student_encoder(), teacher, image_size_px=64, with_hints=True).eval()
    images = torch.from_numpy(TRAIN[:4]).permute(0, 3, 1, 2)
    batch = Batch(range(4), images, torch.zeros(4, 0, 1), is_features=False, is_mirrored=[False] * 4)
    without, with_hints = (
        EncoderDistillation(teacher, phase(hint_weight=weight))(student, batch, step=0).item() for weight in (0.0, 2.0)
    )
    with torch.no_grad():
        _, _, guesses = student(images)
        _, stages = teacher.encoder.forward_with_stages(images)
    assert sorted(guesses) == [4, 8]  # the student's last map has a stride of 16, the teacher's of 32
    errors = [
        (guess - teacher.hints[stride](stages[stride], guess.shape[-1])).square().mean()
        for stride, guess in guesses.items()
    ]
    assert with_hints - without == pytest.approx(2.0 * float(sum(errors)), rel=1e-5)


def test_r2_is_one_for_who_knows_all_and_textbook_for_who_does_not(phase):
    """R2 is 1 - squared error / variance about each channel's mean, over all pictures and positions."""
    teacher = Teacher(build_encoder(phase().teacher), TRAIN)
    select = MapSelector(teacher, DEV)
    assert select(all_knowing(teacher), 0) == pytest.approx(1.0, abs=1e-5)
    student = EncoderStudent(student_encoder(output_stride=32), teacher, image_size_px=64).eval()
    images = torch.from_numpy(DEV).permute(0, 3, 1, 2)
    with torch.no_grad():
        guess = student(images)[0].double()
        truth = teacher.standardise(teacher.encoder(images), guess.shape[-1]).double()
    variance = (truth - truth.mean(dim=(0, 2, 3), keepdim=True)).square().sum()
    assert select(student, 0) == pytest.approx(1.0 - float((guess - truth).square().sum() / variance), rel=1e-5)


def test_no_gradient_reaches_the_teacher(phase):
    """A step moves encoder, projector and classifier of the student; the teacher has no gradient at all."""
    teacher = Teacher(build_encoder(phase().teacher, with_classifier=True), TRAIN)
    student = EncoderStudent(student_encoder(), teacher, image_size_px=64)
    images = torch.from_numpy(TRAIN[:4]).permute(0, 3, 1, 2)
    batch = Batch(range(4), images, torch.zeros(4, 0, 1), is_features=False, is_mirrored=[False] * 4)
    EncoderDistillation(teacher, phase())(student, batch, step=0).backward()
    assert all(parameter.grad is None for parameter in teacher.encoder.parameters())
    stem = next(student.encoder.parameters())
    assert all(one.grad.any() for one in (stem, student.projector.weight, student.classifier.weight))


def test_a_teacher_without_classes_teaches_its_map(phase):
    """Where the teacher's weights have no classifier the student has none, and the loss is that of the map."""
    with_classes, without = (
        Teacher(build_encoder(phase().teacher, with_classifier=has), TRAIN) for has in (True, False)
    )
    images = torch.from_numpy(TRAIN[:4]).permute(0, 3, 1, 2)
    batch = Batch(range(4), images, torch.zeros(4, 0, 1), is_features=False, is_mirrored=[False] * 4)
    losses = []
    for teacher in (with_classes, without):
        torch.manual_seed(0)  # the projectors are drawn alike
        student = EncoderStudent(student_encoder(), teacher, image_size_px=64).eval()
        assert (student.classifier is None) == (teacher is without)
        losses.append(EncoderDistillation(teacher, phase(class_weight=2.0))(student, batch, step=0).item())
    assert losses[0] > losses[1]


def test_a_teacher_without_a_map_is_refused():
    """A vision transformer gets as a teacher the words that it gets as an encoder."""
    with pytest.raises(EncoderError, match="Expected an encoder with a map"):
        Teacher(student_encoder("test_vit", output_stride=32), TRAIN)


def test_a_channel_that_was_silent_does_not_drown_the_others(phase):
    """A channel that never fires in the pictures looked at first does not become the loudest of all when it does."""
    encoder = build_encoder(phase().teacher)
    with torch.no_grad():
        encoder.backbone.bn2.weight[0], encoder.backbone.bn2.bias[0] = 0.0, 0.0
    teacher = Teacher(encoder, TRAIN)
    loud = torch.from_numpy(maps_of(teacher, DEV))
    loud[:, 0] = loud[:, 1:].std()
    assert teacher.standardise(loud, 2)[:, 0].abs().max() < 20.0


def test_hints_without_a_common_stride_are_refused(phase):
    """A teacher and a student that have no earlier stage in common are told both lists, instead of learning no hint."""
    teacher = Teacher(build_encoder(phase().teacher), TRAIN, with_hints=True)
    del teacher.hints[4], teacher.hints[8]
    with pytest.raises(TrainingError, match=r"teacher has them at \[2, 16\] px, the student at \[4, 8\] px"):
        EncoderStudent(student_encoder(), teacher, image_size_px=64, with_hints=True)


def test_a_phase_of_small_views_is_judged_by_small_pictures(phase):
    """Student and teacher look at dev pictures in the size of the views: who knows all there scores 1."""
    teacher = Teacher(build_encoder(phase().teacher), TRAIN)
    sizes = []
    student = all_knowing(teacher)
    student.encoder.register_forward_pre_hook(lambda _, images: sizes.append(images[0].shape[-1]))
    assert MapSelector(teacher, DEV, view_size_px=48)(student, 0) == pytest.approx(1.0, abs=1e-5)
    assert set(sizes) == {48}
