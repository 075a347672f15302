"""A captioner's reranker: its matcher learns from the train split, its weights from the captions found of dev.

The weights are those by which the CIDEr-D of a caption, compared with the others of its list, is best foretold from the
evidence: least squares, none below zero.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import nnls
from tqdm import tqdm

from captiongen.inference import search
from captiongen.metrics.cider import CiderScorer
from captiongen.metrics.interval import FloatArray
from captiongen.model.captioner import Captioner
from captiongen.model.reranker import Reranker
from captiongen.params import DecodeParams, RerankerParams
from captiongen.reranking import NbestRanking
from captiongen.text.normalise import metric_tokens
from captiongen.text.tokenizer import CaptionTokenizer
from captiongen.training.matching import train_matcher
from captiongen.types import Captions

_IMAGES_PER_BATCH = 32
FeatureMaps = npt.NDArray[Any]  # (images, C, G, G)


def train_reranker(
    params: RerankerParams,
    tokenizer: CaptionTokenizer,
    *,
    pooled: npt.NDArray[np.float32],
    captions: Sequence[Sequence[str]],
) -> Reranker:
    """Teaches a matcher, and has it remember the train split; the likelihood alone decides until weights are fitted.

    Args:
        params: the section `train.reranker`.
        tokenizer: of the captioner.
        pooled: (images, C) features of training pictures, by the captioner's encoder.
        captions: of each image.

    Raises:
        DataError: there are fewer than two images.
        TrainingError: the matcher's loss or its gradient is no longer a number.
    """
    seen = torch.from_numpy(pooled)
    matcher = train_matcher(params.matcher, seen, captions, tokenizer)
    return Reranker.remembering(params, matcher, seen, captions)


def fit_weights(
    reranker: Reranker,
    captioner: Captioner,
    tokenizer: CaptionTokenizer,
    decode: DecodeParams,
    *,
    features: FeatureMaps,
    dev: Captions,
) -> FloatArray:
    """Sets the reranker's weights by the captions that the captioner finds of dev, and returns them.

    Args:
        reranker: of the captioner.
        captioner: on any device, in evaluation mode.
        tokenizer: of the captioner.
        decode: how captions are searched.
        features: of the dev split, by the captioner's encoder.
        dev: image id -> captions, in the order of `features`.
    """
    decode = decode.model_copy(update={"method": "beam", "choice": "reranked"})  # all beams, whatever is asked for now
    ranking = NbestRanking(reranker)
    scorer = CiderScorer({image_id: [metric_tokens(text) for text in of_one] for image_id, of_one in dev.items()})
    image_ids, evidence, worth = list(dev), list[FloatArray](), list[FloatArray]()
    device = captioner.decoder.image_positions.device
    starts = range(0, len(image_ids), _IMAGES_PER_BATCH)
    for start in tqdm(starts, desc="captions to rank", unit="batch", disable=None):
        maps = torch.from_numpy(np.array(features[start : start + _IMAGES_PER_BATCH])).float()
        with torch.inference_mode():
            found = search(captioner.decoder, maps.to(device), decode)
        for image_id, of_one, nbest in zip(image_ids[start : start + len(maps)], maps, found, strict=True):
            texts = [metric_tokens(tokenizer.decode(one.tokens)) for one in nbest]
            evidence.append(ranking.evidence(of_one, nbest))
            worth.append(scorer.score_all([image_id] * len(nbest), texts))
    weights = least_squares(evidence, worth)
    reranker.weights.copy_(torch.from_numpy(weights))
    return weights


def least_squares(evidence: Sequence[FloatArray], worth: Sequence[FloatArray]) -> FloatArray:
    """Returns the weights, (evidence,), none below zero, of which one at least is above.

    Args:
        evidence: of each image's captions, (captions, evidence).
        worth: of each image's captions, (captions,).
    """
    # What an image's captions have in common, such as that it is an easy one, chooses none of them.
    rows = np.concatenate([of_one - of_one.mean(axis=0) for of_one in evidence])
    targets = np.concatenate([of_one - of_one.mean() for of_one in worth])
    weights: FloatArray = nnls(rows, targets)[0]
    if not weights.any():  # nothing tells them apart: the search's order stands
        weights[0] = 1.0
    return weights
