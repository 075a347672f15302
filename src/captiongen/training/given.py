"""The captioners that a training is given: the one it begins with, and the one it learns from."""

from pathlib import Path

import torch

from captiongen.data.shards import ProcessedData
from captiongen.errors import CheckpointError
from captiongen.model.captioner import Captioner, build_captioner
from captiongen.model.checkpoint import LoadedCaptioner, load_captioner
from captiongen.model.pretrained import load_pretrained
from captiongen.params import CaptionerParams, TeacherParams, TrainParams
from captiongen.text.tokenizer import CaptionTokenizer


def first_captioner(params: TrainParams, data: ProcessedData, tokenizer: CaptionTokenizer) -> Captioner:
    """Builds the captioner of `params`, with the weights of `start_from`, or pretrained ones, where those are set.

    Raises:
        EncoderError: the encoder is unknown or its weights do not fit.
        PretrainedError: the language model to start from cannot be had or does not fit.
        CheckpointError: the captioner to start from is damaged, another one, or of another make.
    """
    start_from = params.start_from
    torch.manual_seed(params.seed)
    captioner = build_captioner(
        params.encoder,
        params.decoder,
        image_size_px=data.preprocessing.image_size_px,
        vocabulary_size=tokenizer.vocabulary_size,
        max_tokens=params.decode.max_tokens,
        with_encoder_weights=start_from is None,
    )
    if start_from is None:
        if params.decoder.weights != "none":
            load_pretrained(captioner.decoder, tokenizer)
        return captioner
    loaded = _load(start_from, tokenizer, key="train.start_from")
    loaded.captioner.reranker = None  # it knows the captions of the captioner that it was made for
    try:
        captioner.load_state_dict(loaded.captioner.state_dict())
    except RuntimeError as error:
        raise CheckpointError(
            f"train.start_from: {start_from.path} is another model than train.encoder and train.decoder name: "
            f"{str(error).splitlines()[-1].strip()}"
        ) from error
    return captioner


def teaching_captioner(
    named: TeacherParams, data: ProcessedData, tokenizer: CaptionTokenizer, *, max_tokens: int
) -> Captioner:
    """Loads a captioner that can read these pictures and captions of up to `max_tokens` tokens.

    Raises:
        CheckpointError: it is damaged, another one, or was trained on words or pictures of another make.
    """
    loaded = _load(named, tokenizer, key="teacher")
    if (found := loaded.manifest.preprocessing) != data.preprocessing:
        raise CheckpointError(
            f"teacher: {named.path} wants {found}, these data are {data.preprocessing}. Give one that was trained on "
            "pictures prepared like these, or change the section preprocess."
        )
    if loaded.manifest.max_tokens < max_tokens:
        raise CheckpointError(
            f"teacher: {named.path} knows captions of {loaded.manifest.max_tokens} tokens, train.decode.max_tokens is "
            f"{max_tokens}. Lower it, or give another teacher."
        )
    return loaded.captioner


def _load(named: CaptionerParams, tokenizer: CaptionTokenizer, *, key: str) -> LoadedCaptioner:
    loaded = load_captioner(Path(named.path))
    if (found := loaded.manifest.weights_sha256) != named.weights_sha256:
        raise CheckpointError(
            f"{key}: expected weights with sha256 {named.weights_sha256} in {named.path}, found {found}. "
            "Restore the folder, or write the new hash into params.yaml."
        )
    if loaded.tokenizer.to_json() != tokenizer.to_json():
        raise CheckpointError(
            f"{key}: {named.path} was trained with another tokenizer than these data have. "
            "Give one that was trained on the same data with the same settings under preprocess.tokenizer."
        )
    return loaded
