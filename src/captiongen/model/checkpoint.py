"""A captioner as a folder: model.safetensors + tokenizer.json + manifest.json, never a pickle.

The manifest says how to build the model, how images and captions are prepared, how captions are searched, and which
bytes it was trained on; the hashes of the two other files are checked at every load.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from captiongen.errors import CheckpointError
from captiongen.files import atomic_folder, sha256_of_file, write_atomically
from captiongen.model.captioner import Captioner, build_captioner
from captiongen.model.reranker import Reranker
from captiongen.params import DecodeParams, DecoderParams, EncoderParams, RerankerParams
from captiongen.text.tokenizer import CaptionTokenizer
from captiongen.types import Calibration, Preprocessing, Split

WEIGHTS_FILE, TOKENIZER_FILE, MANIFEST_FILE = "model.safetensors", "tokenizer.json", "manifest.json"
#: How weights are stored. `small`: those of the encoder as float16; the matrices of the rest, which is most of it, as
#: int8 with a scale for each row. All are loaded as float32.
Storage = Literal["float32", "small"]
_RERANKER, _SCALE = "reranker.", ".row_scale"
_LARGEST_INT8 = 127
#: No trained weight comes near it, and products of two such stay numbers.
_LARGEST_WEIGHT = 1e12


def _require_numbers(calibration: Calibration) -> Calibration:
    for name in ("word", "caption"):
        sigmoid = getattr(calibration, name)
        if sigmoid is not None and not (math.isfinite(sigmoid.slope) and math.isfinite(sigmoid.intercept)):
            raise ValueError(f"expected slope and intercept of {name} that are numbers, found {sigmoid}")
    return calibration


class CaptionerManifest(BaseModel):
    """What manifest.json holds.

    Attributes:
        dataset: name of the data set it was trained on.
        data_hash: sha256 of that data set as `preprocess` defines it.
        split_hashes: split -> sha256 over its image ids, pictures and references.
        max_tokens: the longest caption the decoder can write.
        reranker: what it chooses among captions by, None where it has none.
        dev_cider: CIDEr on the dev split that picked these weights (x100).
        calibration: what its probabilities are worth, learnt on the dev split.
        weights_sha256: of model.safetensors; the model's identity everywhere.
        tokenizer_sha256: of tokenizer.json.
        code_version: version of captiongen that wrote it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format_version: Literal[1] = 1
    encoder: EncoderParams
    decoder: DecoderParams
    image_size_px: Annotated[int, Field(ge=32, le=1024)]
    resize: Literal["squash", "crop"]
    decode: DecodeParams
    vocabulary_size: Annotated[int, Field(ge=4, le=10_000_000)]
    max_tokens: Annotated[int, Field(ge=1, le=1024)]
    reranker: RerankerParams | None = None
    dataset: str
    data_hash: str
    split_hashes: dict[Split, str]
    dev_cider: float
    calibration: Annotated[Calibration, AfterValidator(_require_numbers)] = Calibration()
    weights_sha256: str
    tokenizer_sha256: str
    code_version: str

    @property
    def preprocessing(self) -> Preprocessing:
        """How an image becomes what the encoder sees."""
        return Preprocessing(image_size_px=self.image_size_px, resize=self.resize)


@dataclass(frozen=True, slots=True)
class LoadedCaptioner:
    """A captioner with all it needs to caption."""

    captioner: Captioner
    tokenizer: CaptionTokenizer
    manifest: CaptionerManifest


def save_captioner(
    folder: Path, captioner: Captioner, tokenizer: CaptionTokenizer, facts: Mapping[str, object]
) -> CaptionerManifest:
    """Writes a captioner folder atomically, in the place of an existing one; otherwise as `write_captioner`."""
    with atomic_folder(folder) as part:
        return write_captioner(part, captioner, tokenizer, facts)


def write_captioner(
    folder: Path,
    captioner: Captioner,
    tokenizer: CaptionTokenizer,
    facts: Mapping[str, object],
    *,
    storage: Storage = "float32",
) -> CaptionerManifest:
    """Writes the three files of a captioner and returns its manifest.

    Args:
        folder: an existing folder.
        captioner: whose weights are stored.
        tokenizer: stored beside them.
        facts: all manifest fields but the hashes, the vocabulary size and what the captioner knows of its reranker.
        storage: what floating-point weights are stored as.

    Raises:
        CheckpointError: a weight is too large for how it is stored.
    """
    save_file(_packed(captioner.state_dict(), storage), folder / WEIGHTS_FILE)
    tokenizer.save(folder / TOKENIZER_FILE)
    manifest = CaptionerManifest.model_validate(
        {
            **facts,
            "reranker": None if captioner.reranker is None else captioner.reranker.params,
            "vocabulary_size": tokenizer.vocabulary_size,
            "weights_sha256": sha256_of_file(folder / WEIGHTS_FILE),
            "tokenizer_sha256": sha256_of_file(folder / TOKENIZER_FILE),
        }
    )
    (folder / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest


def store_calibration(folder: Path, calibration: Calibration) -> CaptionerManifest:
    """Writes into a captioner's manifest what its probabilities are worth, atomically, and returns it.

    Raises:
        CheckpointError: the folder holds no captioner of this format version.
    """
    manifest = read_manifest(folder).model_copy(update={"calibration": calibration})
    write_atomically(folder / MANIFEST_FILE, manifest.model_dump_json(indent=2) + "\n")
    return manifest


def _packed(state: Mapping[str, Tensor], storage: Storage) -> dict[str, Tensor]:
    """Weights as they are stored: contiguous and on the CPU."""
    packed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        on_cpu = tensor.detach().cpu().contiguous()
        if not on_cpu.is_floating_point() or storage == "float32":
            packed[name] = on_cpu
        elif on_cpu.ndim == 2 and not name.startswith("encoder."):
            scale = on_cpu.abs().amax(dim=1).div(_LARGEST_INT8)  # (rows,)
            packed[name + _SCALE] = scale
            packed[name] = on_cpu.div(scale.clamp(min=torch.finfo().tiny)[:, None]).round().to(torch.int8)
        else:
            packed[name] = _halved(name, on_cpu)
    return packed


def _halved(name: str, tensor: Tensor) -> Tensor:
    half = tensor.half()
    if not torch.equal(half.isfinite(), tensor.isfinite()):
        raise CheckpointError(
            f"{name} holds {float(tensor.abs().max()):.3g}, more than float16 can store "
            f"({torch.finfo(torch.float16).max:.3g}). Train with a weight decay, or store the captioner as float32."
        )
    return half


def _unpacked(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they were before `_packed`.

    Raises:
        ValueError: a matrix of int8 and its scales are not of one make.
    """
    unpacked = dict(state)
    for name in [name for name, tensor in state.items() if tensor.dtype == torch.int8]:
        scale = unpacked.pop(name + _SCALE, None)
        if scale is None or scale.shape != state[name].shape[:1] or not scale.is_floating_point():
            raise ValueError(f"expected a scale for each row of {name}, found {None if scale is None else scale.shape}")
        unpacked[name] = state[name] * scale[:, None]
    return unpacked


def read_manifest(folder: Path) -> CaptionerManifest:
    """Reads a captioner's manifest without loading its weights.

    Raises:
        CheckpointError: the folder holds no captioner of this format version.
    """
    path = folder / MANIFEST_FILE
    try:
        return CaptionerManifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise CheckpointError(
            f"Expected a captioner folder with {WEIGHTS_FILE}, {TOKENIZER_FILE} and {MANIFEST_FILE}, found no "
            f"{MANIFEST_FILE} in {folder}. Train one with `dvc repro`, or restore it with `dvc pull`."
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(
            f"{path} is no manifest of format version 1: {where}: {first['msg']}. It is damaged or was "
            "written by another version of captiongen."
        ) from error


def load_captioner(folder: Path) -> LoadedCaptioner:
    """Loads a captioner onto the CPU, in evaluation mode, after checking its hashes.

    Raises:
        CheckpointError: a file is missing, damaged, or does not belong to the manifest.
        EncoderError: this timm has no such encoder.
    """
    manifest = read_manifest(folder)
    check_hash(folder / WEIGHTS_FILE, manifest.weights_sha256)
    check_hash(folder / TOKENIZER_FILE, manifest.tokenizer_sha256)
    tokenizer = CaptionTokenizer.load(folder / TOKENIZER_FILE)
    try:
        captioner = build_captioner(
            manifest.encoder,
            manifest.decoder,
            image_size_px=manifest.image_size_px,
            vocabulary_size=manifest.vocabulary_size,
            max_tokens=manifest.max_tokens,
            with_encoder_weights=False,
        )
        state = _unpacked(load_file(folder / WEIGHTS_FILE))
        if manifest.reranker is not None:
            captioner.reranker = Reranker.fitting(
                manifest.reranker,
                {name.removeprefix(_RERANKER): tensor for name, tensor in state.items() if name.startswith(_RERANKER)},
                tokenizer=tokenizer,
            )
        captioner.load_state_dict(state)
        if not all(bool((tensor.abs() < _LARGEST_WEIGHT).all()) for tensor in captioner.state_dict().values()):
            raise ValueError(f"expected weights that are numbers below {_LARGEST_WEIGHT:.0e}, found some that are not")
        if captioner.reranker is not None:
            captioner.reranker.check()
    except (RuntimeError, LookupError, TypeError, ValueError, SafetensorError) as error:  # of tensors of any shape
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{folder / WEIGHTS_FILE} does not fit the model its manifest names: {reason}") from error
    return LoadedCaptioner(captioner.eval(), tokenizer, manifest)


def check_hash(path: Path, expected: str) -> None:
    """Refuses a file that is missing or has another sha256.

    Raises:
        CheckpointError: with the file's name.
    """
    if not path.is_file():
        raise CheckpointError(f"Expected {path.name} beside the manifest, found none. Restore {path} with `dvc pull`.")
    if (found := sha256_of_file(path)) != expected:
        raise CheckpointError(
            f"{path} is damaged or was replaced: expected sha256 {expected}, found {found}. Restore it with `dvc pull` "
            "or train again."
        )
