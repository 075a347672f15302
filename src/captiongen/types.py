"""Values that cross module borders: frozen, slotted, and without behaviour that needs a library."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Split = Literal["train", "dev", "test", "unused"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test", "unused")

#: Images as the model's preprocessing leaves them: (height, width, 3), uint8, RGB.
ImageArray = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What happens to a picture before the model sees it; recorded in the model, so that serving repeats it.

    Attributes:
        image_size_px: side of the square.
        resize: `squash` keeps the whole frame and loses the aspect ratio, `crop` keeps the centre square.
    """

    image_size_px: int
    resize: Literal["squash", "crop"]


@dataclass(frozen=True, slots=True)
class SourceItem:
    """One image as a data source lists it, before anything is read from the picture itself.

    `path` is relative to the source's root and uses forward slashes; it may name a member of an archive.
    """

    image_id: str
    path: str
    captions: tuple[str, ...]
    split: Split


@dataclass(frozen=True, slots=True)
class Rejection:
    """Something of the source that does not go on, and why: nothing is dropped without one."""

    image_id: str
    path: str
    reason: str
    captions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WordScore:
    """A generated word and the model's probability of it given the words before, 0..1."""

    word: str
    probability: float


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One caption of the model for one image.

    Attributes:
        caption: the words joined by spaces.
        words: the words with their probabilities (sub-word pieces multiplied).
        log_probability: natural log of the probability of all tokens, including the end token where there is one.
        score: what the search ranked by (length-normalised log-probability).
        is_complete: False when the search stopped at the length limit, not at the end token.
    """

    caption: str
    words: tuple[WordScore, ...]
    log_probability: float
    score: float
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class CaptionResult:
    """What the captioner says of one image: hypotheses, best first, and optionally where each word looked.

    Attributes:
        hypotheses: the n-best list, best first, at least one.
        attention: (words of the best hypothesis, grid rows, grid columns), each map sums to 1; None unless asked for.
    """

    hypotheses: tuple[Hypothesis, ...]
    attention: npt.NDArray[np.float32] | None = None

    @property
    def best(self) -> Hypothesis:
        """The caption that was chosen."""
        return self.hypotheses[0]


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken expectation of the data contract.

    Attributes:
        check: machine name of the check, such as `captions_per_image`.
        severity: `error` stops the run, `warning` is reported.
        message: one sentence with what was expected and what was found.
        num_rows: how many rows break it (0 where the check is about the whole table).
        rows: names of images, captions (`image_id#number`) or pairs that break it, at most the first 100.
    """

    check: str
    severity: Literal["error", "warning"]
    message: str
    num_rows: int
    rows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """What the data contract says of a manifest."""

    num_images: int
    num_checks: int
    findings: tuple[Finding, ...]

    @property
    def is_passed(self) -> bool:
        """True when no finding is an error."""
        return not any(finding.severity == "error" for finding in self.findings)


@dataclass(frozen=True, slots=True)
class MetricValue:
    """A metric over a set of images, in the coco-caption scale (BLEU, ROUGE 0..100, CIDEr 0..1000).

    Attributes:
        value: the point estimate.
        low: lower end of the 95 % bootstrap interval over images.
        high: upper end.
        human: the same metric of one human caption against the others (leave-one-out), None with one reference.
        floor: the same metric of the best constant caption tried.
    """

    value: float
    low: float
    high: float
    human: float | None
    floor: float


@dataclass(frozen=True, slots=True)
class ImageScores:
    """Metrics of one image, in the same scales as `MetricValue`; `human_cider` is its leave-one-out score."""

    image_id: str
    cider: float
    bleu_4: float
    rouge_l: float
    human_cider: float | None


@dataclass(frozen=True, slots=True)
class MetricsSignature:
    """What a number must carry to be comparable: two reports compare only when these are equal."""

    split_hash: str
    num_images: int
    references_per_image: str
    tokenizer: str
    df_source: str
    decoding: str


@dataclass(frozen=True, slots=True)
class MetricsReport:
    """Metrics of one set of hypotheses, by name: bleu_1..bleu_4, rouge_l, cider (and meteor when it was asked for)."""

    metrics: Mapping[str, MetricValue]
    per_image: tuple[ImageScores, ...]
    signature: MetricsSignature


@dataclass(frozen=True, slots=True)
class CaptionedImage:
    """One evaluated image: what the model said, what people said. One row of `captions.parquet`."""

    image_id: str
    hypotheses: tuple[Hypothesis, ...]
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a model comes from, down to the bytes.

    Attributes:
        dataset: name of the data set.
        data_hash: sha256 over the manifest's image hashes, captions and splits.
        split_hashes: split -> sha256 over its image ids, pictures and references.
        model_sha256: hash of the weights file.
        git_sha: commit of the code, "" outside git.
        is_dirty: code or params differ from the commit (dvc.lock alone does not count).
        dvc_md5s: path -> md5 as dvc.lock and the .dvc pointers have it.
        run_id: MLflow run.
    """

    dataset: str
    data_hash: str
    split_hashes: Mapping[str, str]
    model_sha256: str
    git_sha: str = ""
    is_dirty: bool = False
    dvc_md5s: Mapping[str, str] = field(default_factory=dict)
    run_id: str = ""


#: A JSON object at a file or HTTP border, the only place where one is allowed.
JsonObject = dict[str, Any]
Captions = Mapping[str, Sequence[str]]
