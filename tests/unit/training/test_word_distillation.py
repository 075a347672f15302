"""A student learns what its teacher says, and the teacher learns nothing."""

import numpy as np
import pytest
import torch

from captiongen.data.batches import Batch, FeatureMaps
from captiongen.model.captioner import Captioner
from captiongen.training.objective import CrossEntropy
from captiongen.training.word_distillation import WordDistillation
from tests.tiny import tiny_captioner

TOKENS = torch.tensor([[[1, 5, 2, 0, 0], [1, 6, 7, 8, 2]], [[1, 9, 2, 0, 0], [1, 4, 5, 6, 2]]])


def maps(seed: int = 1) -> np.ndarray:
    return torch.randn(2, 64, 2, 2, generator=torch.Generator().manual_seed(seed)).numpy()


def batch(features: np.ndarray, *, is_mirrored=(False, False)) -> Batch:
    return Batch([0, 1], torch.from_numpy(features), TOKENS, is_features=True, is_mirrored=is_mirrored)


def distillation(teacher: Captioner, features: FeatureMaps | None = None, **changes) -> WordDistillation:
    options = {"weight": 0.5, "temperature": 2.0, "label_smoothing": 0.1} | changes
    return WordDistillation(teacher, features or FeatureMaps(maps()), **options)


def test_a_teacher_without_weight_changes_nothing():
    """With weight 0 the loss is the cross-entropy."""
    student = tiny_captioner(0)
    found = distillation(tiny_captioner(1), weight=0.0)(student, batch(maps()), step=0)
    torch.testing.assert_close(found, CrossEntropy(0.1)(student, batch(maps()), step=0))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_divergence_is_the_textbook_s(temperature):
    """The teacher's part is the mean over real tokens of sum p (log p - log q), times the temperature squared."""
    student, teacher = tiny_captioner(0), tiny_captioner(1)
    found = distillation(teacher, weight=1.0, temperature=temperature)(student, batch(maps()), step=0)
    features = torch.from_numpy(maps())
    p, q = (
        (one.decoder.advance(one.decoder.start(features), TOKENS[..., :-1])[0] / temperature).softmax(dim=-1)
        for one in (teacher, student)
    )
    per_token = (p * (p.log() - q.log())).sum(dim=-1)[TOKENS[..., 1:] != 0]
    torch.testing.assert_close(found, temperature**2 * per_token.mean(), rtol=1e-4, atol=1e-6)


def test_a_student_that_says_the_same_has_nothing_to_learn():
    """Between two copies of one captioner the teacher's part is zero, on mirrored pictures as on plain ones."""
    features = FeatureMaps(plain=maps(1), mirrored=maps(2))
    mixed = np.stack([maps(2)[0], maps(1)[1]])
    found = distillation(tiny_captioner(0), features, weight=1.0)(
        tiny_captioner(0), batch(mixed, is_mirrored=[True, False]), step=0
    )
    assert found.item() == pytest.approx(0.0, abs=1e-6)


def test_a_smaller_student_comes_closer_to_its_teacher():
    """Thirty steps take a student of half the width most of the way; not one weight of the teacher moves."""
    student, teacher = tiny_captioner(0, width=16), tiny_captioner(1)
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    objective = distillation(teacher, weight=1.0, temperature=1.0)
    optimiser = torch.optim.AdamW(student.decoder.parameters(), lr=1e-2)
    losses = []
    for step in range(30):
        loss = objective(student, batch(maps()), step=step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())


def test_the_teacher_sees_the_picture_that_the_student_sees():
    """Of pictures, teacher and student read the very same ones: two copies of one captioner agree on any."""
    pictures = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    seen = Batch([0, 1], pictures, TOKENS, is_features=False, is_mirrored=[True, False])
    objective = WordDistillation(tiny_captioner(0), None, weight=1.0, temperature=2.0, label_smoothing=0.0)
    student = tiny_captioner(0)
    loss = objective(student, seen, step=0)
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert objective(tiny_captioner(1), seen, step=0).item() > 0.01
