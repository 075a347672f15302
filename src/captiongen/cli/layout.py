"""Where things lie in a project folder. dvc.yaml names the same paths; a contract test compares the two."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from captiongen.data.corrections import CorrectionsFolder


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths of a project, all under `root`."""

    root: Path = Path()

    @property
    def params(self) -> Path:
        """The settings."""
        return self.root / "params.yaml"

    @property
    def raw(self) -> Path:
        """What `fetch` brings: one folder a data set, each with its .dvc file beside it."""
        return self.root / "data" / "raw"

    @property
    def interim(self) -> Path:
        """What `ingest` writes: manifest.parquet, quarantine.parquet, ingest.json."""
        return self.root / "data" / "interim"

    @property
    def validation(self) -> Path:
        """What `validate` writes: validation.json and docs/."""
        return self.root / "reports" / "validation"

    @property
    def corrections(self) -> "CorrectionsFolder":
        """What stages and users propose to change in the data, and what people decided."""
        from captiongen.data.corrections import CorrectionsFolder

        return CorrectionsFolder(self.root / "corrections")

    @property
    def processed(self) -> Path:
        """What `preprocess` writes: shards/, tokenizer.json, index.json, and weights.json where images are weighted."""
        return self.root / "data" / "processed"

    @property
    def data_card(self) -> Path:
        """What `preprocess` shows: index.html and plots."""
        return self.root / "reports" / "data_card"

    @property
    def model(self) -> Path:
        """What `train` writes: model.safetensors, tokenizer.json, manifest.json."""
        return self.root / "models" / "captioner"

    @property
    def starter(self) -> Path:
        """The captioner that comes with the repository: as `model`, with release.json and its card README.md."""
        return self.root / "models" / "starter"

    @property
    def training(self) -> Path:
        """Curves of the training: curves.csv, train.json."""
        return self.root / "reports" / "training"

    @property
    def evaluation(self) -> Path:
        """What `evaluate` writes: captions.parquet, metrics.json."""
        return self.root / "reports" / "evaluation"

    @property
    def analysis(self) -> Path:
        """What `analyse` writes: worst.parquet, index.html."""
        return self.root / "reports" / "analysis"

    @property
    def feedback(self) -> Path:
        """What people reported to `captiongen serve --feedback`, see `captiongen.data.feedback`."""
        return self.state / "feedback"

    @property
    def audit(self) -> Path:
        """What `audit` writes, beside its proposals: label_errors.parquet, index.html, audit.json."""
        return self.root / "reports" / "audit"

    @property
    def state(self) -> Path:
        """This machine's own state, versioned by nobody: checkpoints, feature cache, tracking database."""
        return self.root / ".captiongen"
