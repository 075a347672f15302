"""Values that cross module borders: frozen, slotted, and without behaviour that needs a library."""

import math
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
    """A generated word.

    Attributes:
        word: as it stands in the caption.
        probability: the model's, given the words before, 0..1.
        confidence: the chance that a person would say it of this image, 0..1; None where the model is not calibrated.
    """

    word: str
    probability: float
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One caption of the model for one image.

    Attributes:
        caption: the words joined by spaces.
        words: the words with their probabilities (sub-word pieces multiplied).
        log_probability: natural log of the probability of all tokens, including the end token where there is one.
        score: what it was ranked by: the length-normalised log-probability, or, where a reranker chose, what all that
            speaks for it weighs; comparable among the captions of one image only.
        is_complete: False when the search stopped at the length limit, not at the end token.
        confidence: the chance that it is as good as a person's caption of this image, 0..1; None where the model is not
            calibrated.
    """

    caption: str
    words: tuple[WordScore, ...]
    log_probability: float
    score: float
    is_complete: bool = True
    confidence: float | None = None

    @property
    def mean_probability(self) -> float:
        """Geometric mean of the model's probabilities of the words and, where it was reached, of the end, 0..1."""
        num_factors = max(1, len(self.words) + self.is_complete)
        return math.exp(min(0.0, self.log_probability) / num_factors)

    def is_doubtful(self, min_confidence: float) -> bool:
        """Whether the confidence lies below a limit; never, where the model is not calibrated."""
        return self.confidence is not None and self.confidence < min_confidence


@dataclass(frozen=True, slots=True)
class CaptionResult:
    """What the captioner says of one image: hypotheses, best first, and optionally where each word looked.

    Attributes:
        hypotheses: the n-best list, best first, at least one.
        attention: (words of the best hypothesis, grid rows, grid columns), each map sums to 1; None unless asked for.
        is_doubtful: the confidence in the best one lies below `decode.min_confidence`: better show none.
    """

    hypotheses: tuple[Hypothesis, ...]
    attention: npt.NDArray[np.float32] | None = None
    is_doubtful: bool = False

    @property
    def best(self) -> Hypothesis:
        """The caption that was chosen."""
        return self.hypotheses[0]


#: Probabilities nearer to 0 or 1 than this are taken for this.
_NEARLY_IMPOSSIBLE = 1e-6


def log_odds(probability: float) -> float:
    """The logarithm of p / (1 - p), finite for every probability 0..1."""
    kept = min(max(probability, _NEARLY_IMPOSSIBLE), 1.0 - _NEARLY_IMPOSSIBLE)
    return math.log(kept / (1.0 - kept))


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """Turns a model's probability into a chance of being right: 1 / (1 + exp(-(slope * log-odds + intercept)))."""

    slope: float
    intercept: float

    def __call__(self, probability: float) -> float:
        """Returns the chance, 0..1; it grows with the probability."""
        return 0.5 + 0.5 * math.tanh(0.5 * (self.slope * log_odds(probability) + self.intercept))  # never overflows


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a captioner's probabilities are worth, as the dev split showed; `metrics.calibration` says what is right.

    Attributes:
        word: of a word; None where nobody has looked, or dev could not tell.
        caption: of a caption's mean probability; None as well where images have one reference.
    """

    word: Sigmoid | None = None
    caption: Sigmoid | None = None


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
class CalibrationError:
    """Expected calibration error, 0..1: of the model's probabilities, and of the confidences made of them, if any."""

    probability: float
    confidence: float | None


@dataclass(frozen=True, slots=True)
class CoveragePoint:
    """CIDEr of the surest captions.

    Attributes:
        coverage: their share of all, 0..1.
        cider: their mean, under document frequencies of all.
        confidence: of the least sure among them: with `decode.min_confidence` at it, these are the captions given.
    """

    coverage: float
    cider: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """What may be expected of captions one by one; shares are 0..1.

    Attributes:
        truncated: share of captions that the length limit cut mid-sentence.
        repeating: `2-gram` .. `4-gram` -> share of captions that hold one twice.
        word_error: how far word probabilities are from the share of words that people say too; None without words.
        caption_error: how far caption probabilities are from the share that is as good as a person's; None where images
            have one reference.
        coverage: share of captions that are not doubtful.
        covered_cider: CIDEr of those, None where all are doubtful.
        curve: CIDEr over coverage, from the surest captions to all.
    """

    truncated: float
    repeating: Mapping[str, float]
    word_error: CalibrationError | None
    caption_error: CalibrationError | None
    coverage: float
    covered_cider: float | None
    curve: tuple[CoveragePoint, ...]


@dataclass(frozen=True, slots=True)
class MetricsReport:
    """Metrics of one set of hypotheses, by name: bleu_1..bleu_4, rouge_l, cider (and meteor when it was asked for).

    `reliability` is None where only the text of the captions was known.
    """

    metrics: Mapping[str, MetricValue]
    per_image: tuple[ImageScores, ...]
    signature: MetricsSignature
    reliability: Reliability | None = None


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
