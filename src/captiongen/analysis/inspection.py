"""What the captioner had in mind: where each word looked, what it thinks of people's captions, what it knew before.

Shapes: B images, C channels, G side of the feature grid.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from captiongen.likelihood import CaptionLikelihood, Likelihood
from captiongen.model.checkpoint import LoadedCaptioner
from captiongen.text.tokenizer import CaptionTokenizer
from captiongen.types import CaptionedImage, Captions, Hypothesis

_BATCH_SIZE = 32


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The training image that looks most like an image to the encoder.

    Attributes:
        image_id: of the training image.
        similarity: cosine of the centred mean features, -1..1.
        captions: what people say of it.
    """

    image_id: str
    similarity: float
    captions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelScores:
    """What the model alone thinks of captions of one image: log p / length ** penalty, as its search ranks them.

    A hypothesis' own score may be another thing: what a reranker weighed, or, of greedy search, no score to compare.

    Attributes:
        hypotheses: of each caption found, in the list's order; of one that the length limit cut, without an end.
        references: of each reference; NaN where it has a word that the captioner cannot write, or is longer than it
            writes.
    """

    hypotheses: tuple[float, ...]
    references: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a captioner had in mind when it captioned an image.

    Attributes:
        attention: while each word of the caption was written, (words, G, G); each map sums to 1.
        scores: what it thinks of its own captions and of people's.
        neighbour: of the training images.
    """

    attention: npt.NDArray[np.float32]
    scores: ModelScores
    neighbour: Neighbour


@torch.inference_mode()
def inspect_captions(
    loaded: LoadedCaptioner, features: npt.NDArray[np.float16], images: Sequence[CaptionedImage]
) -> Iterator[tuple[npt.NDArray[np.float32], ModelScores]]:
    """Yields attention of the chosen caption and the model's scores of all captions, image by image.

    Args:
        loaded: the captioner that wrote the captions.
        features: of its encoder, (images, C, G, G).
        images: their captions, in the same order.
    """
    ask = CaptionLikelihood(loaded.captioner.decoder, loaded.tokenizer)
    penalty = loaded.manifest.decode.length_penalty
    for start in range(0, len(images), _BATCH_SIZE):
        batch = torch.from_numpy(np.array(features[start : start + _BATCH_SIZE], dtype=np.float32))
        some = images[start : start + _BATCH_SIZE]
        likelihoods = ask(batch, [image.references for image in some])
        for one, (image, of_references) in enumerate(zip(some, likelihoods, strict=True)):
            scores = ModelScores(
                tuple(_score_found(each, penalty, loaded.tokenizer) for each in image.hypotheses),
                tuple(_score(each, penalty, loaded.tokenizer) for each in of_references),
            )
            yield word_attention(loaded, batch[[one]], image.hypotheses[0].caption), scores


@torch.inference_mode()
def word_attention(loaded: LoadedCaptioner, features: torch.Tensor, caption: str) -> npt.NDArray[np.float32]:
    """Returns where the decoder looks while it writes each word, (words, G, G); pieces of a word are averaged.

    Args:
        loaded: the captioner.
        features: (1, C, G, G).
        caption: as it was written.
    """
    decoder, tokenizer = loaded.captioner.decoder, loaded.tokenizer
    tokens = tokenizer.encode(caption)[1 : decoder.max_tokens + 1]
    read = torch.tensor([[[tokenizer.bos_id, *tokens[:-1]]]])
    _, _, weights = decoder.advance(decoder.start(features), read)  # (1, 1, T, N)
    per_token = weights[0, 0].numpy().reshape(len(tokens), *features.shape[-2:])
    words = [per_token[positions].mean(axis=0) for _, positions in tokenizer.words(tokens)]
    return np.stack(words).astype(np.float32) if words else np.empty((0, *per_token.shape[1:]), dtype=np.float32)


def nearest_training_images(
    image_ids: Sequence[str],
    features: npt.NDArray[np.float32],
    captions: Captions,
    training: npt.NDArray[np.float32],
) -> tuple[Neighbour, ...]:
    """Finds the training image that looks most like each image, itself left out.

    Args:
        image_ids: of the images.
        features: theirs, mean over positions, (images, C).
        captions: of the training images, by image id.
        training: features of these, in the same order.
    """
    mean = training.mean(axis=0)
    ours, theirs = (_unit(some - mean) for some in (features, training))
    ids = list(captions)
    own_place = {image_id: place for place, image_id in enumerate(ids)}
    found = []
    for image_id, vector in zip(image_ids, ours, strict=True):
        similarities = theirs @ vector
        if image_id in own_place:
            similarities[own_place[image_id]] = -1.0
        nearest = int(similarities.argmax())
        found.append(Neighbour(ids[nearest], float(similarities[nearest]), tuple(captions[ids[nearest]])))
    return tuple(found)


def _score(likelihood: Likelihood, length_penalty: float, tokenizer: CaptionTokenizer) -> float:
    is_whole = likelihood.tokens[-1:] == (tokenizer.eos_id,)
    if tokenizer.unk_id in likelihood.tokens or not is_whole:
        return float("nan")
    return likelihood.total / float(len(likelihood.tokens) ** length_penalty)


def _score_found(hypothesis: Hypothesis, length_penalty: float, tokenizer: CaptionTokenizer) -> float:
    num_tokens = len(tokenizer.encode(hypothesis.caption)) - (1 if hypothesis.is_complete else 2)
    return hypothesis.log_probability / float(max(1, num_tokens) ** length_penalty)


def _unit(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = rows / np.maximum(norms, 1e-12)
    return unit
