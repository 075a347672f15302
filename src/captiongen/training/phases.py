"""The phases of a training, one after the other: each begins with the best weights so far and may not lose them.

What a phase reached is kept under its name (`captiongen.training.identity`), so a killed training goes on where it was,
and a change of a later phase does not repeat the earlier ones.
"""

import math
import shutil
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch

from captiongen.data.batches import FeatureMaps, TrainingSet, encode_captions
from captiongen.data.shards import ProcessedData
from captiongen.data.unlabelled import open_unlabelled
from captiongen.model.captioner import Captioner
from captiongen.model.encoder import ImageEncoder, build_encoder
from captiongen.params import (
    CaptionPhase,
    DistilledPhase,
    FinetunedPhase,
    FrozenPhase,
    Phase,
    SelfCriticalPhase,
    TrainParams,
)
from captiongen.ports import Tracker
from captiongen.text.tokenizer import CaptionTokenizer
from captiongen.training.encoder_distillation import EncoderDistillation, EncoderStudent, MapSelector, Teacher
from captiongen.training.given import first_captioner, teaching_captioner
from captiongen.training.identity import identify, snapshots_folder
from captiongen.training.inputs import load_features, load_pictures
from captiongen.training.loop import Fitted, Model, Selector, Start, Trainer
from captiongen.training.objective import CrossEntropy, Objective
from captiongen.training.processes import is_first
from captiongen.training.selection import DevSelector, limit
from captiongen.training.self_critical import SelfCritical
from captiongen.training.snapshot import EpochRecord
from captiongen.training.word_distillation import WordDistillation

_NUM_SAMPLE_PICTURES = 8


@dataclass(frozen=True, slots=True)
class Trained:
    """The outcome of all phases: the captioner holds the best weights, by the CIDEr of its captions."""

    captioner: Captioner
    history: tuple[EpochRecord, ...]
    best_epoch: int
    best_cider: float


class PhasedTraining:
    """Trains a captioner on processed data.

    Args:
        params: the section `train`.
        data: what `preprocess` wrote.
        tokenizer: of these data.
        state_folder: caches and snapshots of this machine.
        tracker: receives losses, speeds and samples.
        device: where to compute.
    """

    def __init__(
        self,
        params: TrainParams,
        data: ProcessedData,
        tokenizer: CaptionTokenizer,
        *,
        state_folder: Path,
        tracker: Tracker,
        device: torch.device,
    ) -> None:
        self._params, self._data, self._tokenizer = params, data, tokenizer
        self._cache, self._snapshots = state_folder / "cache", snapshots_folder(state_folder)
        self._tracker, self._device = tracker, device
        self._identity = identify(params, data, tokenizer)

    @property
    def name(self) -> str:
        """Of this training, by all that decides its outcome."""
        return self._identity.training

    def run(self) -> Trained:
        """Runs the phases in order.

        Raises:
            EncoderError: an encoder, that of a teacher included, is unknown, its weights do not fit, or it has no map.
            CheckpointError: a captioner to start from or to learn from is damaged or of another make.
            DataError: unlabelled pictures are missing, damaged, or other ones than were named.
            TrainingError: the loss or its gradient is no longer a number.
        """
        self._require_maps_of_teachers()
        captioner = first_captioner(self._params, self._data, self._tokenizer).to(self._device)
        start, first = Start(), self._params.phases[0]
        history: tuple[EpochRecord, ...] = ()
        if self._params.start_from is not None and not isinstance(first, DistilledPhase):
            start = Start(best_score=self._selector(captioner, first)(captioner, 0))
        is_encoder_trained = self._params.encoder.weights != "none" or self._params.start_from is not None
        for phase, name in zip(self._params.phases, self._identity.phases, strict=True):
            if is_encoder_trained and not isinstance(phase, DistilledPhase):
                captioner.encoder.keep_batch_statistics()
            fitted = self._fit(captioner, phase, start, self._snapshots / name)
            start, history = fitted.reached, (*history, *fitted.progress.history)
            is_encoder_trained = True
            if isinstance(phase, DistilledPhase):  # its R2 compares with no CIDEr, nor with that of another teacher
                start = replace(start, best_score=-math.inf)
        if is_first():
            self._forget_others()
        return Trained(captioner, history, start.best_epoch, start.best_score)

    def _require_maps_of_teachers(self) -> None:
        """Before anything is trained: their phases may come late."""
        for phase in self._params.phases:
            if isinstance(phase, DistilledPhase):
                build_encoder(phase.teacher, with_weights=False).measure(self._data.preprocessing.image_size_px)

    def _fit(self, captioner: Captioner, phase: Phase, start: Start, snapshots: Path) -> Fitted:
        if isinstance(phase, DistilledPhase):
            return self._fit_encoder(captioner.encoder, phase, start, snapshots)
        data, select = self._training_set(captioner, phase), self._selector(captioner, phase)
        return self._train(captioner, data, phase, self._objective(phase), select, start, snapshots)

    def _fit_encoder(self, encoder: ImageEncoder, phase: DistilledPhase, start: Start, snapshots: Path) -> Fitted:
        data, cache = self._data, self._cache
        unlabelled = open_unlabelled(phase.unlabelled) if phase.unlabelled else None
        pictures = load_pictures(data, "train", cache, unlabelled=unlabelled)
        with_hints = phase.hint_weight > 0.0
        encoder_of_teacher = build_encoder(phase.teacher, with_classifier=True).to(self._device)
        teacher = Teacher(encoder_of_teacher, pictures, with_hints=with_hints)
        torch.manual_seed(self._params.seed)  # what is thrown away later begins the same whatever ran before
        student = EncoderStudent(
            encoder,
            teacher,
            image_size_px=data.preprocessing.image_size_px,
            with_hints=with_hints,
        )
        judged = load_pictures(data, "dev", cache)[: self._params.selection.max_images]
        select = MapSelector(teacher, judged, view_size_px=phase.view_size_px)
        no_captions: list[list[list[int]]] = [[] for _ in pictures]
        training_set = TrainingSet(
            image_ids=[*data.references("train"), *(unlabelled.names if unlabelled else ())],
            entries=pictures,
            tokens=no_captions,
            mirrored_tokens=no_captions,
            is_features=False,
        )
        return self._train(student, training_set, phase, EncoderDistillation(teacher, phase), select, start, snapshots)

    def _train(
        self,
        model: Model,
        data: TrainingSet,
        phase: Phase,
        objective: Objective[Model],
        select: Selector[Model],
        start: Start,
        snapshots: Path,
    ) -> Fitted:
        return Trainer(
            model,
            data,
            phase,
            objective=objective,
            select=select,
            selection=self._params.selection,
            seed=self._params.seed,
            start=start,
            snapshots=snapshots,
            tracker=self._tracker,
            device=self._device,
        ).fit()

    def _objective(self, phase: CaptionPhase) -> Objective[Captioner]:
        if isinstance(phase, SelfCriticalPhase):
            return SelfCritical(
                self._data.references("train"),
                self._tokenizer,
                num_samples=phase.num_samples,
                max_tokens=self._params.decode.max_tokens,
                seed=self._params.seed,
                draws=phase.draws,
            )
        if phase.teacher is None:
            return CrossEntropy(phase.label_smoothing)
        max_tokens = self._params.decode.max_tokens
        teacher = teaching_captioner(phase.teacher, self._data, self._tokenizer, max_tokens=max_tokens).to(self._device)
        return WordDistillation(
            teacher,
            None if isinstance(phase, FinetunedPhase) else self._feature_maps(teacher.encoder, phase),
            weight=phase.teacher.weight,
            temperature=phase.teacher.temperature,
            label_smoothing=phase.label_smoothing,
        )

    def _training_set(self, captioner: Captioner, phase: CaptionPhase) -> TrainingSet:
        data, max_tokens = self._data, self._params.decode.max_tokens
        references, weights = data.references("train"), data.sampling_weights()
        captions = list(references.values())
        is_features = not isinstance(phase, FinetunedPhase)
        maps = self._feature_maps(captioner.encoder, phase) if is_features else None
        return TrainingSet(
            image_ids=list(references),
            entries=maps.plain if maps else load_pictures(data, "train", self._cache),
            tokens=encode_captions(captions, self._tokenizer, max_tokens=max_tokens),
            mirrored_tokens=encode_captions(captions, self._tokenizer, max_tokens=max_tokens, is_mirrored=True),
            is_features=is_features,
            mirrored_entries=maps.mirrored if maps else None,
            weights=[weights.get(image_id, 1.0) for image_id in references] if weights else None,
        )

    def _feature_maps(self, encoder: ImageEncoder, phase: CaptionPhase) -> FeatureMaps:
        """Features of the training pictures and, where the phase mirrors, of the mirrored ones."""

        def load(*, is_mirrored: bool) -> npt.NDArray[Any]:
            return load_features(
                self._data, "train", encoder, self._cache, device=self._device, is_mirrored=is_mirrored
            )

        is_mirrored = isinstance(phase, FrozenPhase) and phase.mirror
        return FeatureMaps(load(is_mirrored=False), load(is_mirrored=True) if is_mirrored else None)

    def _selector(self, captioner: Captioner, phase: CaptionPhase) -> DevSelector:
        data, is_features = self._data, not isinstance(phase, FinetunedPhase)
        return DevSelector(
            limit(data.references("dev"), self._params.selection.max_images),
            load_features(data, "dev", captioner.encoder, self._cache, device=self._device)
            if is_features
            else load_pictures(data, "dev", self._cache),
            is_features=is_features,
            tokenizer=self._tokenizer,
            decode=self._params.decode,
            sample_pictures=[row.image_png for row in islice(data.rows("dev"), _NUM_SAMPLE_PICTURES)],
            tracker=self._tracker,
        )

    def _forget_others(self) -> None:
        """Drops what trainings with other settings left.

        This one's phases stay: a change of a later one does not repeat the others, and a process that is killed before
        DVC has recorded the outcome has not worked for nothing.
        """
        for folder in self._snapshots.iterdir():
            if folder.name not in self._identity.phases:
                shutil.rmtree(folder, ignore_errors=True)
