"""A matcher: pictures and captions as points of one space, near each other where the caption tells of the picture.

Two towers over what a captioner has: an image is the mean of its encoder's features, projected; a caption is the mean
of its words' vectors, each weighing what it has been found to tell. Word order is left to others. As a folder it is
matcher.safetensors + tokenizer.json + manifest.json, and belongs to one encoder.

Shapes: B images, C channels, G side of the feature grid, K captions, T tokens, D width of the common space.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from captiongen.errors import CheckpointError
from captiongen.files import atomic_folder, sha256_of_file
from captiongen.model.checkpoint import MANIFEST_FILE, TOKENIZER_FILE, check_hash, need_weights, stored
from captiongen.params import MatcherParams
from captiongen.text.tokenizer import CaptionTokenizer

_WEIGHTS_FILE = "matcher.safetensors"
_REMEDY = "Make one with `captiongen make-matcher`, or restore models/matcher with `git checkout models/matcher`."


class MatcherManifest(BaseModel):
    """What a matcher's manifest.json holds.

    Attributes:
        encoder_sha256: of the encoder that it looks through (`ImageEncoder.sha256`).
        num_channels: C of that encoder.
        dataset: name of the data set whose train split it learned from.
        data_hash: of that data set.
        dev_recall: share of dev captions whose image is among the ten nearest of all dev images, 0..1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    params: MatcherParams
    encoder_sha256: str
    num_channels: int
    vocabulary_size: int
    dataset: str
    data_hash: str
    dev_recall: float
    weights_sha256: str
    tokenizer_sha256: str
    code_version: str


class CaptionMatcher(nn.Module):
    """The two towers.

    Args:
        params: width and dropout.
        num_channels: C.
        tokenizer: of the captions.
    """

    def __init__(self, params: MatcherParams, *, num_channels: int, tokenizer: CaptionTokenizer) -> None:
        super().__init__()
        self.params, self.tokenizer = params, tokenizer
        self.norm = nn.LayerNorm(num_channels)
        self.projection = nn.Linear(num_channels, params.width)
        self.words = nn.Embedding(tokenizer.vocabulary_size, params.width)
        self.salience = nn.Embedding(tokenizer.vocabulary_size, 1)
        self.log_scale = nn.Parameter(torch.tensor(2.6))  # of cosines in the loss, learned (arXiv 2103.00020)
        nn.init.normal_(self.words.weight, std=0.1)
        nn.init.zeros_(self.salience.weight)

    def images(self, features: Tensor) -> Tensor:
        """(B, C, G, G) or, pooled already, (B, C) features -> (B, D), unit length."""
        pooled = features.float().mean(dim=(2, 3)) if features.ndim == 4 else features.float()
        return F.normalize(self.projection(F.dropout(self.norm(pooled), self.params.dropout, self.training)), dim=-1)

    def captions(self, tokens: Tensor) -> Tensor:
        """(K, T) padded words without begin and end -> (K, D), unit length; zero for a caption without words."""
        is_word = tokens != CaptionTokenizer.pad_id
        vectors = F.dropout(self.words(tokens), self.params.dropout, self.training)  # (K, T, D)
        weights = self.salience(tokens)[..., 0].exp() * is_word  # (K, T)
        return F.normalize((weights[..., None] * vectors).sum(dim=1), dim=-1)

    def tokens(self, captions: Sequence[str]) -> Tensor:
        """Captions in any spelling -> (K, T) padded words, at least one column."""
        rows = [torch.tensor(self.tokenizer.encode(caption)[1:-1], dtype=torch.long) for caption in captions]
        padded = pad_sequence(rows, batch_first=True, padding_value=CaptionTokenizer.pad_id)
        return padded if padded.shape[1] else torch.full((len(rows), 1), CaptionTokenizer.pad_id)

    @torch.inference_mode()
    def embed(self, captions: Sequence[str]) -> npt.NDArray[np.float64]:
        """Captions in any spelling -> (K, D), unit length; zero for a caption without words."""
        return self.captions(self.tokens(captions)).double().numpy()


def save_matcher(folder: Path, matcher: CaptionMatcher, facts: Mapping[str, object]) -> MatcherManifest:
    """Writes a matcher folder atomically, its weights in half precision, and returns its manifest.

    Args:
        folder: replaced where it exists.
        matcher: what is stored.
        facts: the manifest's fields that the matcher does not know.
    """
    with atomic_folder(folder) as part:
        state = {name: stored(name, tensor, torch.float16) for name, tensor in matcher.state_dict().items()}
        save_file(state, part / _WEIGHTS_FILE)
        matcher.tokenizer.save(part / TOKENIZER_FILE)
        manifest = MatcherManifest.model_validate(
            {
                **facts,
                "params": matcher.params,
                "num_channels": matcher.projection.in_features,
                "vocabulary_size": matcher.tokenizer.vocabulary_size,
                "weights_sha256": sha256_of_file(part / _WEIGHTS_FILE),
                "tokenizer_sha256": sha256_of_file(part / TOKENIZER_FILE),
            }
        )
        (part / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest


def load_matcher(folder: Path) -> tuple[CaptionMatcher, MatcherManifest]:
    """Loads a matcher onto the CPU, in evaluation mode, after checking its hashes.

    Raises:
        CheckpointError: a file is missing, damaged, or of another format version.
    """
    path = folder / MANIFEST_FILE
    try:
        manifest = MatcherManifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"Expected a matcher in {folder}, found no {MANIFEST_FILE} there. {_REMEDY}") from error
    except ValidationError as error:
        need_weights(folder, _WEIGHTS_FILE, what="a matcher", remedy=_REMEDY)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(
            f"{path} is no matcher's manifest of format version 1: {where}: {first['msg']}. {_REMEDY}"
        ) from error
    check_hash(folder / _WEIGHTS_FILE, manifest.weights_sha256)
    check_hash(folder / TOKENIZER_FILE, manifest.tokenizer_sha256)
    tokenizer = CaptionTokenizer.load(folder / TOKENIZER_FILE)
    matcher = CaptionMatcher(manifest.params, num_channels=manifest.num_channels, tokenizer=tokenizer)
    try:
        matcher.load_state_dict(load_file(folder / _WEIGHTS_FILE))
    except (RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{folder / _WEIGHTS_FILE} does not fit its manifest: {reason}") from error
    return matcher.eval(), manifest
