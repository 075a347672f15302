"""What a training and its phases are known by: everything that decides their outcome, the phases before included."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import captiongen
from captiongen.data.shards import ProcessedData, open_processed
from captiongen.params import TrainParams
from captiongen.text.tokenizer import CaptionTokenizer

#: The code that decides the outcome of a training.
_PACKAGES = ("data", "decode", "metrics", "model", "text", "training")
_MODULES = ("inference.py", "params.py", "stages/train.py")


@dataclass(frozen=True, slots=True)
class TrainingIdentity:
    """Names that another code, other data or other settings do not share.

    Attributes:
        training: of all of it, the reranker included.
        phases: of each phase, where its snapshots lie; a change of a later phase leaves the names of earlier ones.
    """

    training: str
    phases: tuple[str, ...]


def snapshots_folder(state_folder: Path) -> Path:
    """Where phases leave their snapshots, each in a folder of its name."""
    return state_folder / "training"


def identify(params: TrainParams, data: ProcessedData, tokenizer: CaptionTokenizer) -> TrainingIdentity:
    """Names a training, so that a snapshot or a tracked run of another one is never gone on from."""
    # The reranker is made afterwards, and no phase asks it.
    choice = "likeliest" if params.decode.asks_reranker else params.decode.choice
    decode = params.decode.model_copy(update={"choice": choice})
    learned = params.model_copy(update={"decode": decode, "reranker": None})
    given = [
        data.data_hash,
        str(data.preprocessing),
        dict(data.split_hashes),
        dict(data.picture_hashes),
        data.sampling_weights(),
        hashlib.sha256(tokenizer.to_json().encode()).hexdigest(),
        _code_hash(),
    ]
    phases = []
    for number, phase in enumerate(params.phases, start=1):
        settings = learned.model_copy(update={"phases": params.phases[:number]})
        phases.append(f"{number}-{phase.kind}-{_digest([settings.model_dump_json(), *given])}")
    return TrainingIdentity(_digest([params.model_dump_json(), *given]), tuple(phases))


def name_of_unfinished(params: TrainParams, *, data_folder: Path, state_folder: Path) -> str | None:
    """Returns the name of this training where it has left a snapshot to go on from, None where it would begin anew.

    Raises:
        ShardError: the processed data are missing or damaged.
    """
    data = open_processed(data_folder)
    identity, folder = (
        identify(params, data, CaptionTokenizer.load(data.tokenizer_path)),
        snapshots_folder(state_folder),
    )
    has_snapshots = any(any((folder / phase).glob("epoch-*")) for phase in identity.phases)
    return identity.training if has_snapshots else None


def _code_hash() -> str:
    package = Path(captiongen.__file__).parent
    sources = [
        *(package / name for name in _MODULES),
        *(p for name in _PACKAGES for p in package.joinpath(name).rglob("*.py")),
    ]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources))).hexdigest()


def _digest(facts: list[object]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
