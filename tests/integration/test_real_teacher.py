"""A real timm model teaches a random ConvNeXt; skipped, in words, where its weights are not."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from captiongen.data.batches import TrainingSet
from captiongen.data.images import prepare
from captiongen.data.scenes.compose import compose_scene
from captiongen.data.scenes.render import draw_scene
from captiongen.files import sha256_of_file
from captiongen.model.encoder import build_encoder
from captiongen.params import DistilledPhase, EncoderParams, SelectionParams
from captiongen.ports import NullTracker
from captiongen.training.encoder_distillation import EncoderDistillation, EncoderStudent, MapSelector, Teacher
from captiongen.training.loop import Start, Trainer
from captiongen.types import Preprocessing

pytestmark = pytest.mark.slow

SIZE_PX = 64


@pytest.fixture
def phase() -> DistilledPhase:
    """A phase with a timm model of ImageNet weights as teacher."""
    path = os.environ.get("CAPTIONGEN_TEACHER_WEIGHTS", "")
    if not Path(path).is_file():
        pytest.skip("set CAPTIONGEN_TEACHER_WEIGHTS to a timm model's safetensors file, CAPTIONGEN_TEACHER to its name")
    name = os.environ.get("CAPTIONGEN_TEACHER", "tf_efficientnet_lite0")
    teacher = EncoderParams(name=name, weights=path, weights_sha256=sha256_of_file(Path(path)))
    return DistilledPhase(
        kind="distilled", num_epochs=10, batch_size=16, learning_rate=2e-3, teacher=teacher, class_weight=0.0
    )


def scenes(num_images: int, *, seed: int) -> np.ndarray:
    rng = random.Random(seed)
    drawn = [draw_scene(rng, compose_scene(rng))[0] for _ in range(num_images)]
    return np.stack([prepare(picture, Preprocessing(SIZE_PX, "squash")) for picture in drawn])


def test_a_random_convnext_learns_from_it(tmp_path: Path, phase: DistilledPhase):
    """After 2,560 pictures a small ConvNeXt explains more than 0.03 of the variance of the map of unseen scenes."""
    pictures, unseen = scenes(256, seed=0), scenes(32, seed=1)
    teacher = Teacher(build_encoder(phase.teacher, with_classifier=True), pictures)
    torch.manual_seed(0)
    encoder = build_encoder(EncoderParams(name="convnext_atto"))
    no_captions: list[list[list[int]]] = [[] for _ in pictures]
    fitted = Trainer(
        EncoderStudent(encoder, teacher, image_size_px=SIZE_PX),
        TrainingSet([str(number) for number in range(len(pictures))], pictures, no_captions, no_captions, False),
        phase,
        objective=EncoderDistillation(teacher, phase),
        select=MapSelector(teacher, unseen),
        selection=SelectionParams(every_num_epochs=2, patience=8),
        seed=0,
        start=Start(),
        snapshots=tmp_path,
        tracker=NullTracker(),
        device=torch.device("cpu"),
    ).fit()
    assert fitted.progress.best_score > 0.03
