"""What a stage asks of the outside, as protocols; adapters implement them, tests fake them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from captiongen.types import ValidationReport

if TYPE_CHECKING:
    import pandas as pd

    from captiongen.params import ValidateParams

Scalar = str | int | float | bool | None


class Tracker(Protocol):
    """Receives what a training or evaluation run has to tell."""

    def log_params(self, params: Mapping[str, Scalar]) -> None:
        """Records settings, flat, dotted names."""

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Records numbers of one step; may be buffered until `flush`."""

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Records facts to search by."""

    def log_file(self, path: Path, *, folder: str) -> None:
        """Keeps a copy of a file under `folder`."""

    def log_captions(self, images: Sequence[bytes], captions: Sequence[str], *, name: str, step: int) -> None:
        """Shows sample captions on their pictures (encoded images)."""

    def flush(self) -> None:
        """Sends what is buffered."""


class NullTracker:
    """Tracks nothing."""

    def log_params(self, params: Mapping[str, Scalar]) -> None:
        """Ignores settings."""

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Ignores numbers."""

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Ignores tags."""

    def log_file(self, path: Path, *, folder: str) -> None:
        """Ignores files."""

    def log_captions(self, images: Sequence[bytes], captions: Sequence[str], *, name: str, step: int) -> None:
        """Ignores samples."""

    def flush(self) -> None:
        """Has nothing to send."""


class DataContract(Protocol):
    """Judges a manifest against the data contract."""

    def check(self, manifest: "pd.DataFrame", params: "ValidateParams", *, docs_folder: Path) -> ValidationReport:
        """Returns what is broken; writes browsable docs under `docs_folder`."""
