"""The one tree of errors that CaptionGen raises on purpose.

Every message says what was expected, what was found, and what to do next. ::

    CaptionGenError
    |-- ParamsError            params.yaml: unknown key, wrong type, value out of range            exit 2
    |-- UsageError             a command was called in a way that cannot work                      exit 2
    |-- DataError              the data are not what the stage needs                               exit 3
    |   |-- SourceError        a data source is missing, incomplete or of another format
    |   |-- DownloadError      an archive could not be fetched or failed its integrity check
    |   |-- ImageDecodeError   bytes that are no readable image, or an image over the limits
    |   '-- ShardError         a processed data folder is damaged or of another version
    |-- GateError              a check that guards the pipeline said no                            exit 4
    |   |-- ValidationFailed   the data contract is broken
    |   '-- ReleaseRefused     a model version may not be promoted
    |-- ModelError             a checkpoint, tokenizer or encoder cannot be used                   exit 5
    |   |-- CheckpointError    damaged, incomplete or of another format version
    |   |-- EncoderError       unknown encoder, or weights that do not fit it
    |   '-- PretrainedError    a pretrained language model cannot be had, or cannot be made a decoder
    |-- TrainingError          training cannot go on (diverged, another trainer is running)        exit 6
    |-- ServiceError           a tool beside us failed: DVC, MLflow, Prefect, BentoML              exit 7
    |-- StorageError           the disk is full, read-only, or not for this user                   exit 8
    |   |-- FeedbackFull       the feedback folder holds as much as it may
    |   '-- FeedbackBusy       other processes have been writing into it for too long
    '-- Abandoned              nobody waits for these captions any more                            never leaves a server
"""

from typing import Literal


class CaptionGenError(Exception):
    """Base of all errors that CaptionGen raises on purpose; `exit_code` is what the command line returns."""

    exit_code = 1


class ParamsError(CaptionGenError):
    """params.yaml holds an unknown key, a wrong type, or a value out of range."""

    exit_code = 2


class UsageError(CaptionGenError):
    """A command was called in a way that cannot work."""

    exit_code = 2


class DataError(CaptionGenError):
    """The data are not what the stage needs."""

    exit_code = 3


class SourceError(DataError):
    """A data source is missing, incomplete or of another format."""


class DownloadError(DataError):
    """An archive could not be fetched or failed its integrity check."""


class ImageDecodeError(DataError):
    """Bytes that are no readable image, or an image over the limits.

    Attributes:
        problem: `unsupported` (no image, or of a kind that is not accepted), `damaged` (an accepted kind that does not
            decode), or `too_large` (more pixels than allowed).
    """

    def __init__(self, message: str, *, problem: Literal["unsupported", "damaged", "too_large"] = "damaged") -> None:
        super().__init__(message)
        self.problem = problem


class ShardError(DataError):
    """A processed data folder is damaged or of another version."""


class GateError(CaptionGenError):
    """A check that guards the pipeline said no."""

    exit_code = 4


class ValidationFailed(GateError):  # noqa: N818 - reads as what happened
    """The data contract is broken."""


class ReleaseRefused(GateError):  # noqa: N818 - reads as what happened
    """A model version may not be promoted."""


class ModelError(CaptionGenError):
    """A checkpoint, tokenizer or encoder cannot be used."""

    exit_code = 5


class CheckpointError(ModelError):
    """A checkpoint is damaged, incomplete or of another format version."""


class EncoderError(ModelError):
    """The encoder is unknown, or the weights do not fit it."""


class PretrainedError(ModelError):
    """A pretrained language model cannot be had, or cannot be made a decoder."""


class TrainingError(CaptionGenError):
    """Training cannot go on."""

    exit_code = 6


class ServiceError(CaptionGenError):
    """A tool beside us (DVC, MLflow, Prefect, BentoML) failed."""

    exit_code = 7


class StorageError(CaptionGenError):
    """The disk is full, read-only, or not for this user; what stood there before is intact."""

    exit_code = 8


class FeedbackFull(StorageError):  # noqa: N818 - reads as what happened
    """The feedback folder holds as much as it may; what it holds is intact."""


class FeedbackBusy(StorageError):  # noqa: N818 - reads as what happened
    """Other processes have been writing into the feedback folder for too long."""


class Abandoned(CaptionGenError):  # noqa: N818 - reads as what happened
    """Nobody waits for these captions any more, so they were not finished."""
