"""params.yaml as frozen, typed values: read once, at the edge.

Sections are named as the stages that read them. An unknown key, a wrong type or a value out of range is a
`ParamsError` that names the key. Every field says its unit and range.
"""

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from captiongen.errors import ParamsError

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Width = Annotated[int, Field(ge=1, le=8192)]
Temperature = Annotated[float, Field(ge=0.001, le=1000.0)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)


class TableParams(_Section):
    """How to read a table of captions (`source: table`)."""

    captions_file: str | None = None  # relative to ingest.path; None: the only CSV, TSV or JSONL file there
    image_column: str = "image"  # path of the picture, relative to images_folder
    caption_columns: tuple[str, ...] = ("caption",)  # one column per caption, or one caption per row
    split_column: str | None = None  # None: a seeded split by image
    images_folder: str = "."  # relative to ingest.path


class CocoParams(_Section):
    """How to read COCO captions (`source: coco`): one JSON file per split, or one file and a seeded split."""

    train_file: str = "annotations/captions_train.json"
    dev_file: str | None = None
    test_file: str | None = None
    images_folder: str = "images"


class IngestParams(_Section):
    """Which data set, and how to read it."""

    source: Literal["scenes", "flickr8k", "coco", "table"]
    path: str  # folder that `captiongen fetch` wrote, or any DVC-tracked folder
    name: str  # the data set's name in cards, tags and reports
    max_rejected_fraction: Fraction = 0.01  # more unreadable images or orphan captions than this stop the run
    split_fractions: dict[Literal["train", "dev", "test"], Fraction] = {"train": 0.8, "dev": 0.1, "test": 0.1}
    split_seed: Seed = 20131
    table: TableParams = TableParams()
    coco: CocoParams = CocoParams()

    @model_validator(mode="after")
    def _fractions_sum_to_one(self) -> "IngestParams":
        if abs(sum(self.split_fractions.values()) - 1.0) > 1e-6:
            raise ValueError(f"split_fractions must sum to 1, found {sum(self.split_fractions.values()):.4f}")
        return self


class ValidateParams(_Section):
    """The data contract. `warn` lists checks that report instead of stopping."""

    captions_per_image: Count | None = 5  # None: any number from one
    min_caption_tokens: Count = 3
    max_caption_tokens: Count = 50
    max_short_captions_fraction: Fraction = 0.01
    min_side_px: Count = 32
    max_side_px: Count = 10_000
    max_bytes: Count = 25_000_000
    max_aspect_ratio: Positive = 4.0
    max_seam_strength: Positive = 0.6  # of a washed-out part, see captiongen.data.damage
    caption_script: Literal["latin", "any"] = "latin"
    max_duplicate_caption_fraction: Fraction = 0.1  # of images that repeat one of their own captions
    near_duplicate_distance: Annotated[int, Field(ge=0, le=16)] = 2  # bits of a 64-bit perceptual hash
    min_split_fractions: dict[Literal["train", "dev", "test"], Fraction] = {"train": 0.5, "dev": 0.02, "test": 0.02}
    min_vocabulary: Count = 20
    max_unseen_words_fraction: Fraction = 0.2  # of test words that training never shows
    warn: tuple[str, ...] = ()


class TokenizerParams(_Section):
    """How captions become tokens."""

    kind: Literal["word", "bpe", "pretrained"] = "word"
    min_count: Count = 3  # word: rarer training words become the unknown token
    vocabulary_size: Annotated[int, Field(ge=50)] = 6000  # bpe: number of pieces
    source: str | None = None  # pretrained: as train.decoder.weights
    sha256: str | None = None  # pretrained: as train.decoder.weights_sha256

    @model_validator(mode="after")
    def _source_goes_with_pretrained(self) -> "TokenizerParams":
        if (self.kind == "pretrained") != (self.source is not None):
            raise ValueError(
                f"kind `pretrained` and source go together, found kind `{self.kind}` and source {self.source}; name "
                "the model whose tokenizer it is, or remove source"
            )
        return self


class PreprocessParams(_Section):
    """What the model sees of an image and of a caption."""

    image_size_px: Annotated[int, Field(ge=32, le=1024)]
    resize: Literal["squash", "crop"]  # squash: whole frame, aspect ratio lost; crop: centre square
    images_per_shard: Count = 512
    tokenizer: TokenizerParams = TokenizerParams()


class EncoderParams(_Section):
    """The image encoder: any timm model that yields a feature map."""

    # As timm.list_models() has it; the hub tag may follow a dot. Other names timm would fetch from where they point to.
    name: Annotated[str, Field(pattern=r"^\w+(\.\w+)?$")]
    weights: str = "none"  # none: random; hub: timm's own; else a safetensors file, of timm or of a captioner
    weights_sha256: str | None = None  # of that file, checked at load; without one for `none` and `hub`
    drop_path: Fraction = 0.0  # stochastic depth while it is finetuned
    # What residual branches of random weights are scaled by at first. timm's own for ConvNeXt, 1e-6, suits trainings of
    # hundreds of epochs: it keeps every block shut for the first thousand steps. None: timm's own.
    layer_scale: Annotated[float, Field(gt=0.0, le=10.0)] | None = None
    output_stride: Literal[8, 16, 32] = 32  # image pixels per position of the feature map
    is_multiscale: bool = False  # also the map of the stage before, pooled to the last one's grid


def _require_known_weights(encoder: EncoderParams) -> EncoderParams:
    """DVC knows params.yaml and not the file: its hash is what makes a training stale when the file changes."""
    is_file = encoder.weights not in ("none", "hub")
    if is_file and encoder.weights_sha256 is None:
        raise ValueError(
            f"weights names the file {encoder.weights}, so weights_sha256 must name its bytes; "
            f"`captiongen fetch weights {encoder.weights}` imports it and prints both lines"
        )
    if not is_file and encoder.weights_sha256 is not None:
        raise ValueError(
            f"weights_sha256 goes with the path of a file, and weights is `{encoder.weights}`; remove weights_sha256, "
            "or import a file of which you know the bytes with `captiongen fetch weights FILE`"
        )
    if encoder.layer_scale is not None and encoder.weights != "none":
        raise ValueError(
            f"layer_scale is for random weights, and weights is `{encoder.weights}`, which brings its own; remove "
            "layer_scale"
        )
    return encoder


def _require_trained(teacher: EncoderParams) -> EncoderParams:
    if teacher.weights == "none":
        raise ValueError("a teacher has trained weights: set weights to `hub`, or to the path of a safetensors file")
    return teacher


class DecoderParams(_Section):
    """The Transformer that writes the caption: our own, or one that begins with a pretrained language model.

    `captiongen use DATA --decoder MODEL` writes the keys of a pretrained one.
    """

    architecture: Literal["captiongen", "gpt2", "bert", "roberta"] = "captiongen"  # how a layer is made
    width: Width = 384
    num_layers: Annotated[int, Field(ge=1, le=128)] = 3  # a pretrained model may have more: its first ones are taken
    num_heads: Annotated[int, Field(ge=1, le=256)] = 6
    feedforward_factor: Annotated[int, Field(ge=1, le=64)] = 4
    dropout: Fraction = 0.1
    weights: str = "none"  # none: random; else a folder with a model of transformers, or the name of one on its hub
    weights_sha256: str | None = None  # of a folder, over the files that are read; without one for `none` and the hub
    pretrained_learning_rate_factor: Positive = 1.0  # of the rate of new layers, for those that were pretrained

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "DecoderParams":
        if self.width % self.num_heads:
            raise ValueError(f"width ({self.width}) must be a multiple of num_heads ({self.num_heads})")
        if self.width % 4:
            raise ValueError(f"width ({self.width}) must be a multiple of 4 (2-D sine positions)")
        return self

    @model_validator(mode="after")
    def _weights_have_an_architecture(self) -> "DecoderParams":
        if self.weights != "none" and self.architecture == "captiongen":
            raise ValueError(
                f"weights names {self.weights}, so architecture must say how that model is made: gpt2, bert or roberta"
            )
        return self


class AugmentationParams(_Section):
    """Changes to training images."""

    min_crop_area: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    colour: Fraction = 0.0  # strength of brightness, contrast and saturation jitter
    mirror: bool = False  # left and right are swapped in the captions too


class PhaseParams(_Section):
    """How the weights move in one phase of a training."""

    #: What its epochs are judged by, more is better: CIDEr of free-running captions, or the explained variance.
    measure: ClassVar[Literal["dev_cider", "dev_r2"]] = "dev_cider"

    num_epochs: Count
    batch_size: Count = 32  # images per forward pass, each with all of its captions
    accumulation_steps: Count = 1
    learning_rate: Positive = 5e-4
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    warmup_fraction: Fraction = 0.05  # of all steps; cosine to zero after it
    max_gradient_norm: Positive = 1.0
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0  # running average of the weights, 0: off
    averages_epochs: bool = False  # judged and kept is the mean of the weights that the phase's epochs ended with
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 on CUDA and on CPUs with native bf16
    # muon: matrices move by orthogonal steps as large as AdamW's (arXiv 2502.16982), computed in bf16 whatever
    # precision says; all else moves by NAdamW.
    optimiser: Literal["adamw", "muon"] = "adamw"

    @model_validator(mode="after")
    def _weights_are_averaged_in_one_way(self) -> Self:
        if self.ema_decay and self.averages_epochs:
            raise ValueError("ema_decay and averages_epochs are two ways to average the weights; choose one of them")
        return self


class CaptionerParams(_Section):
    """A trained captioner, by place and content."""

    path: str  # a captioner folder
    weights_sha256: str  # as its manifest has it; a change makes the stage stale


class StartParams(CaptionerParams):
    """A captioner whose weights the first phase begins with, instead of random ones."""


class TeacherParams(CaptionerParams):
    """A captioner whose words are learned beside the human ones; its tokenizer must be that of the data."""

    weight: Fraction = 0.5  # of the teacher's words in the loss; the human captions have the rest
    temperature: Positive = 1.0  # above 1 less likely words count for more, those of label smoothing too


class UnlabelledParams(_Section):
    """Pictures without captions, by place and content."""

    path: str  # a folder or zip archive
    sha256: str  # over the names and bytes of its pictures; a wrong one is answered with the right one


class DistilledPhase(PhaseParams):
    """The encoder learns the feature map and the classes of a trained one, from pictures alone; the decoder rests."""

    measure: ClassVar[Literal["dev_cider", "dev_r2"]] = "dev_r2"

    kind: Literal["distilled"]
    teacher: Annotated[EncoderParams, AfterValidator(_require_known_weights), AfterValidator(_require_trained)]
    class_weight: Annotated[float, Field(ge=0.0)] = 0.1  # of the teacher's classes beside its map, where it has any
    temperature: Positive = 1.0  # of the classes
    # Of the maps of earlier stages beside the last one, wherever both encoders have one of that stride.
    hint_weight: Annotated[float, Field(ge=0.0)] = 0.0
    # Side of the views, and of the dev pictures that the phase is judged by. A smaller one is faster; a last phase with
    # the data's own gets the encoder used to what it will see. None: theirs.
    view_size_px: Annotated[int, Field(ge=32, le=1024)] | None = None
    augmentation: AugmentationParams = AugmentationParams(min_crop_area=0.25, mirror=True)  # one view for both
    mixup: bool = False  # pictures are blended in pairs, in shares from 0 to 1
    unlabelled: UnlabelledParams | None = None  # learned from beside the training pictures


class FrozenPhase(PhaseParams):
    """Cross-entropy on the features of an encoder that stays as it is; they are computed once and kept."""

    kind: Literal["frozen"]
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    mirror: bool = False  # also the features of the mirrored pictures, left and right swapped in the captions
    teacher: TeacherParams | None = None


class FinetunedPhase(PhaseParams):
    """Cross-entropy with encoder and decoder together, on pictures that change from epoch to epoch.

    An encoder that was trained before keeps its batch statistics; a random one learns them.
    """

    kind: Literal["finetuned"]
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    augmentation: AugmentationParams = AugmentationParams()
    encoder_learning_rate_factor: Positive = 1.0  # of the decoder's rate
    layer_decay: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0  # each earlier block of the encoder moves slower by this
    teacher: TeacherParams | None = None


class SelfCriticalPhase(PhaseParams):
    """Policy gradient on CIDEr-D, on the features of an encoder that stays as it is."""

    kind: Literal["self_critical"]
    learning_rate: Positive = 1e-5
    num_samples: Annotated[int, Field(ge=2)] = 5  # captions per image; each is judged against the others' mean
    draws: Literal["samples", "beams"] = "samples"  # of the model's distribution, or the beams of one search


CaptionPhase = FrozenPhase | FinetunedPhase | SelfCriticalPhase
Phase = Annotated[DistilledPhase | CaptionPhase, Field(discriminator="kind")]


class MatcherParams(_Section):
    """How a matcher of pictures and captions learns (part of a reranker)."""

    width: Width = 256  # dimensions of the common space
    num_epochs: Count = 30  # each image once an epoch, with one of its captions
    batch_size: Annotated[int, Field(ge=2)] = 500  # each caption is told from those of the others in its batch
    learning_rate: Positive = 4e-3  # the highest, after a tenth of the steps
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.1
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.3
    word_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1  # share of words that are read as unknown ones
    seed: Seed = 0


class RerankerParams(_Section):
    """What chooses among the captions that a search found (`decode.choice: reranked`).

    The captioner then carries the captions of the train split, as tokens.
    """

    matcher: MatcherParams = MatcherParams()
    # Training pictures, the most alike, whose captions are asked; each costs half a millisecond a picture.
    num_neighbours: Annotated[int, Field(ge=1, le=1000)] = 30
    # Of their cosines: how much more the nearest of them count.
    temperature: Temperature = 0.125


class DecodeParams(_Section):
    """How captions are searched: recorded in the model's manifest, so that serving does as evaluation did."""

    method: Literal["beam", "greedy", "sample"] = "beam"
    num_beams: Annotated[int, Field(ge=1, le=64)] = 3
    length_penalty: Annotated[float, Field(ge=0.0, le=5.0)] = 0.6  # score = log p / length ** penalty
    max_tokens: Annotated[int, Field(ge=2, le=128)] = 24
    num_hypotheses: Annotated[int, Field(ge=1, le=64)] = 3  # length of the n-best list that is served
    no_repeat_ngram: Annotated[int, Field(ge=0, le=128)] = 0  # tokens; no n-gram of so many comes twice, 0: off
    min_confidence: Fraction = 0.0  # a caption with a lower chance of being as good as a person's is marked doubtful
    #: Beam only, which of the captions found is the first: as the search ranks them, the one that the others agree with
    #: most, or what a reranker finds best (`train.reranker`).
    choice: Literal["likeliest", "consensus", "reranked"] = "likeliest"
    temperature: Temperature = 1.0  # of what is drawn (sample), of the beams' weights (consensus)
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0  # sample only
    seed: Seed = 0  # sample only
    weights: Literal["fp32", "int8"] = "fp32"  # of the decoder; int8 searches faster, on x86 CPUs, and rounds

    @property
    def asks_reranker(self) -> bool:
        """Whether a reranker chooses among the captions found; other searches than beams find one."""
        return self.method == "beam" and self.choice == "reranked"

    def with_all_beams(self) -> "DecodeParams":
        """Returns the same search with every beam in its n-best list: the first captions stay what they are."""
        return self.model_copy(update={"num_hypotheses": self.num_beams})

    def describe(self) -> str:
        """The decoding as one line of a metrics signature."""
        if self.method == "beam":
            how = f"beam{self.num_beams} length_penalty={self.length_penalty}"
            if self.choice == "consensus":
                how += f" choice=consensus temperature={self.temperature}"
            elif self.choice == "reranked":
                how += " choice=reranked"
        elif self.method == "greedy":
            how = "greedy"
        else:
            how = f"sample temperature={self.temperature} top_p={self.top_p} seed={self.seed}"
        guard = f" no_repeat_ngram={self.no_repeat_ngram}" if self.no_repeat_ngram else ""
        weights = "" if self.weights == "fp32" else f" weights={self.weights}"
        return f"{how} max_tokens={self.max_tokens}{guard}{weights}"


class SelectionParams(_Section):
    """Which epoch wins: the best dev CIDEr of free-running captions; of a distilled phase the explained variance."""

    every_num_epochs: Count = 1
    patience: Count = 3  # evaluations without a better one before a phase stops
    max_images: Count | None = None  # of the dev split; None: all


class TrainParams(_Section):
    """Everything that makes a model out of processed data."""

    seed: Seed = 0
    encoder: Annotated[EncoderParams, AfterValidator(_require_known_weights)]
    decoder: DecoderParams = DecoderParams()
    start_from: StartParams | None = None
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]  # one after the other, each from the best weights so far
    selection: SelectionParams = SelectionParams()
    decode: DecodeParams = DecodeParams()
    reranker: RerankerParams | None = None  # made after the phases; None: none

    @model_validator(mode="after")
    def _who_is_asked_is_there(self) -> "TrainParams":
        if self.decode.choice == "reranked" and self.reranker is None:
            raise ValueError(
                "decode.choice is reranked, but there is no reranker: set `reranker: {}`, or another choice"
            )
        if self.decode.choice == "reranked" and not (self.decode.asks_reranker and self.decode.num_beams > 1):
            raise ValueError(
                f"decode.choice is reranked, but method {self.decode.method} with num_beams {self.decode.num_beams} "
                "finds one caption: set method: beam and num_beams: 8 or more, or choice: likeliest"
            )
        return self

    @model_validator(mode="after")
    def _random_weights_are_learned_from(self) -> "TrainParams":
        if self.start_from is not None and self.encoder.layer_scale is not None:
            raise ValueError("layer_scale is for random weights, and start_from brings its own; remove layer_scale")
        return self

    @model_validator(mode="after")
    def _someone_has_trained_the_encoder(self) -> "TrainParams":
        first = self.phases[0].kind
        if self.encoder.weights == "none" and self.start_from is None and first not in ("distilled", "finetuned"):
            raise ValueError(
                f"the first phase is {first}, but encoder.weights is none: a random encoder would stay random. Begin "
                "with a distilled or finetuned phase, or name pretrained weights (hub, or a file)"
            )
        return self

    @model_validator(mode="after")
    def _captions_are_learned_last(self) -> "TrainParams":
        """A distilled phase changes the encoder under the decoder: captions of before it would be lost unseen."""
        kinds = [phase.kind for phase in self.phases]
        if "distilled" in kinds[kinds.count("distilled") :] or kinds[-1] == "distilled":
            raise ValueError(
                f"the phases are {', '.join(kinds)}: distilled ones come first, and one that learns captions after them"
            )
        return self


class EvaluateParams(_Section):
    """Scoring on held-out images."""

    split: Literal["dev", "test"] = "test"
    batch_size: Count = 32
    num_resamples: Annotated[int, Field(ge=100)] = 1000
    seed: Seed = 0


class AnalyseParams(_Section):
    """The error analysis."""

    num_worst: Count = 50  # listed in Prefect, and made tasks for Label Studio
    num_shown: Count = 1000  # worst captions on the page


class AuditParams(_Section):
    """The search for wrong captions in the data."""

    splits: tuple[Literal["train", "dev", "test"], ...] = ("train",)  # corrections are proposed for train alone
    min_probability: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5  # of being wrong, from which a caption is listed
    min_words: Count = 3  # a caption of fewer is as good as empty
    min_surprise: Positive = 3.5  # robust deviations below the usual likelihood, from which a caption is unlikely
    # Training images without a suspected caption that the captioner learned least of; to be shown more often, 0: none.
    num_hard_images: Annotated[int, Field(ge=0, le=1000)] = 20
    num_background_images: Count = 2  # that each caption is tried on beside its own; more are steadier and slower
    num_shown: Count = 100  # on the page
    seed: Seed = 0  # of the background, and of the errors planted to compare with


def _require_bento_name(name: str) -> str:
    """BentoML would refuse another one too late: after the model was promoted under it."""
    if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", name) is None:
        raise ValueError("must be at most 63 letters, digits, `-`, `_` or `.`, with a letter or digit at both ends")
    return name


class ReleaseParams(_Section):
    """Registering and the gate in front of `champion`."""

    model_name: Annotated[str, AfterValidator(_require_bento_name)] = "captiongen"  # the Bento's too, in lower case
    min_cider_over_floor: float = 5.0  # every version must beat the constant caption by this much
    max_cider_loss: Annotated[float, Field(ge=0.0)] = 0.0  # paired 95 % interval must lie above minus this
    broken_slices: Literal["refuse", "report"] = "refuse"  # a challenger that is worse on some kind of image
    num_resamples: Annotated[int, Field(ge=100)] = 2000


class Params(_Section):
    """The whole of params.yaml."""

    ingest: IngestParams
    validate_: ValidateParams = Field(default=ValidateParams(), alias="validate")
    preprocess: PreprocessParams
    train: TrainParams
    evaluate: EvaluateParams = EvaluateParams()
    analyse: AnalyseParams = AnalyseParams()
    audit: AuditParams = AuditParams()
    release: ReleaseParams = ReleaseParams()

    @model_validator(mode="after")
    def _a_pretrained_decoder_reads_its_own_tokens(self) -> "Params":
        decoder, tokenizer = self.train.decoder, self.preprocess.tokenizer
        expected = (decoder.weights, decoder.weights_sha256)
        if decoder.weights != "none" and (tokenizer.source, tokenizer.sha256) != expected:
            raise ValueError(
                "train.decoder has the weights of a pretrained model, which knows its own tokenizer only: "
                f"set preprocess.tokenizer to kind: pretrained, source: {expected[0]}, sha256: {expected[1] or 'null'}"
            )
        return self


def load_params(path: Path) -> Params:
    """Reads and checks a params file.

    Raises:
        ParamsError: the file is missing, is no YAML mapping, or a key is unknown, missing or out of range.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path} is missing. Run `captiongen use scenes` to write one.") from None
    except (yaml.YAMLError, OSError, ValueError, RecursionError) as error:
        # Beside its own errors PyYAML lets those of impossible dates and of too deep nesting through.
        raise ParamsError(f"{path} is no readable YAML: {error}") from error
    return parse_params(raw, origin=str(path))


def parse_params(raw: object, *, origin: str) -> Params:
    """Checks already parsed params; `origin` names them in errors.

    Raises:
        ParamsError: as `load_params`.
    """
    if not isinstance(raw, dict):
        raise ParamsError(f"{origin} must be a mapping of sections, found {type(raw).__name__}.")
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        problems = [_describe(problem["loc"], problem["msg"], problem.get("input")) for problem in error.errors()]
        raise ParamsError(f"{origin}: " + "; ".join(problems)) from error


def _describe(location: tuple[int | str, ...], message: str, found: object) -> str:
    key = ".".join(str(part) for part in location) or "top level"
    if message == "Extra inputs are not permitted":
        return f"{key}: unknown key, remove it or correct its spelling"
    if message == "Field required":
        return f"{key}: missing"
    return f"{key}: {message} (found {found!r})"
