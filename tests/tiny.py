"""Tiny but real: a captioner, a processed data folder and pictures that tests build in a moment."""

import hashlib
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import captiongen
from captiongen.data.shards import ProcessedData, ShardRow, split_hash, write_index, write_shards
from captiongen.files import atomic_folder, sha256_of_file
from captiongen.model.captioner import Captioner, build_captioner
from captiongen.model.checkpoint import Storage, write_captioner
from captiongen.model.matcher import CaptionMatcher
from captiongen.model.pretrained import load_pretrained, pretrained_decoder_params
from captiongen.model.reranker import Reranker
from captiongen.params import (
    DecodeParams,
    DecoderParams,
    EncoderParams,
    MatcherParams,
    RerankerParams,
    TokenizerParams,
)
from captiongen.text.pretrained import cut_tokenizer, folder_sha256, open_tokenizer
from captiongen.text.tokenizer import CaptionTokenizer
from captiongen.types import Preprocessing
from tests.datasets import encode as encoded

COLOURS = {"red": (210, 40, 40), "green": (40, 180, 60), "blue": (50, 70, 220), "yellow": (230, 210, 40)}
THINGS = ("ball", "box")
IMAGE_SIZE_PX = 64
#: gpt2, bert and roberta: a small one of each, as transformers saves them (`tests/golden/make_language_models.py`).
LANGUAGE_MODELS = Path(__file__).parent / "golden" / "language_models"


def tiny_picture(
    colour: str = "red", thing: str = "ball", *, seed: int = 0, size: tuple[int, int] = (64, 64)
) -> Image.Image:
    """A coloured disc or square on noise."""
    noise = np.random.default_rng(seed).integers(0, 60, (size[1], size[0], 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    from PIL import ImageDraw

    draw = ImageDraw.Draw(picture)
    box = (size[0] // 4, size[1] // 4, 3 * size[0] // 4, 3 * size[1] // 4)
    (draw.ellipse if thing == "ball" else draw.rectangle)(box, fill=COLOURS[colour])
    return picture


def tiny_captions(colour: str, thing: str) -> tuple[str, ...]:
    """Five references of a tiny picture."""
    return (
        f"A {colour} {thing} .",
        f"There is a {colour} {thing} in the dark .",
        f"One {thing} is {colour} .",
        f"The {thing} looks {colour} .",
        f"A {thing} painted {colour} on noise .",
    )


def tiny_all_captions() -> list[str]:
    """The references of all tiny pictures."""
    return [caption for colour in COLOURS for thing in THINGS for caption in tiny_captions(colour, thing)]


def tiny_tokenizer() -> CaptionTokenizer:
    """A vocabulary of about twenty words."""
    return CaptionTokenizer.train(tiny_all_captions(), TokenizerParams(min_count=1))


def language_model_params(name: str, **changes: object) -> DecoderParams:
    """A decoder that begins with one of the small language models."""
    folder = LANGUAGE_MODELS / name
    found = pretrained_decoder_params(folder / "config.json")
    given = {"dropout": 0.0, "weights": str(folder), "weights_sha256": folder_sha256(folder)}
    return DecoderParams.model_validate({**found, **given, **changes})


def language_model_tokenizer(name: str) -> CaptionTokenizer:
    """Its tokenizer, cut to the captions of tiny pictures."""
    return cut_tokenizer(tiny_all_captions(), open_tokenizer(LANGUAGE_MODELS / name / "tokenizer.json"))


def tiny_encoder(folder: Path, name: str = "test_convnext") -> EncoderParams:
    """An encoder with weights from a file, as a pretrained one has."""
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(0)
    path = folder / f"{name}.safetensors"
    save_file(timm.create_model(name).state_dict(), path)
    return EncoderParams(name=name, weights=str(path), weights_sha256=sha256_of_file(path), output_stride=16)


def tiny_captioner(seed: int = 0, *, width: int = 32) -> Captioner:
    """A captioner of random weights, without dropout, that writes what `tiny_tokenizer` reads."""
    torch.manual_seed(seed)
    return build_captioner(
        EncoderParams(name="test_convnext"),
        DecoderParams(width=width, num_layers=1, num_heads=2, dropout=0.0),
        image_size_px=IMAGE_SIZE_PX,
        vocabulary_size=tiny_tokenizer().vocabulary_size,
        max_tokens=12,
    ).eval()


def tiny_reranker(num_channels: int, *, seed: int = 0) -> Reranker:
    """One with an untrained matcher that remembers the captions of four pictures, and heeds all evidence alike."""
    torch.manual_seed(seed)
    params = RerankerParams(matcher=MatcherParams(width=8), num_neighbours=2)
    matcher = CaptionMatcher(params.matcher, num_channels=num_channels, tokenizer=tiny_tokenizer()).eval()
    captions = [tiny_captions(colour, THINGS[0]) for colour in COLOURS]
    reranker = Reranker.remembering(params, matcher, torch.randn(len(captions), num_channels), captions)
    reranker.weights.fill_(1.0)
    return reranker


def tiny_model_folder(
    folder: Path,
    *,
    seed: int = 0,
    decoder: DecoderParams | None = None,
    tokenizer: CaptionTokenizer | None = None,
    has_reranker: bool = False,
    storage: Storage = "float32",
) -> Path:
    """A captioner with random weights, saved: under 2 MB, loads in a second."""
    torch.manual_seed(seed)
    tokenizer = tokenizer or tiny_tokenizer()
    encoder = EncoderParams(name="test_convnext", output_stride=16)
    decoder = decoder or DecoderParams(width=32, num_layers=1, num_heads=2)
    captioner = build_captioner(
        encoder, decoder, image_size_px=IMAGE_SIZE_PX, vocabulary_size=tokenizer.vocabulary_size, max_tokens=12
    )
    if decoder.weights != "none":
        load_pretrained(captioner.decoder, tokenizer)
    if has_reranker:
        captioner.reranker = tiny_reranker(captioner.encoder.measure(IMAGE_SIZE_PX)[0], seed=seed)
    facts = {
        "encoder": encoder,
        "decoder": decoder,
        "image_size_px": IMAGE_SIZE_PX,
        "resize": "squash",
        "decode": DecodeParams(num_beams=3, max_tokens=12, choice="reranked" if has_reranker else "likeliest"),
        "max_tokens": 12,
        "dataset": "tiny",
        "data_hash": "0" * 64,
        "split_hashes": {"train": "1" * 64, "dev": "2" * 64, "test": "3" * 64},
        "dev_cider": 0.0,
        "code_version": captiongen.__version__,
    }
    with atomic_folder(folder) as part:
        write_captioner(part, captioner, tokenizer, facts, storage=storage)
    return folder


def tiny_processed(folder: Path, *, repeats: int = 2, tokenizer: CaptionTokenizer | None = None) -> Path:
    """A processed data folder: every colour and thing, `repeats` pictures of each in train, one in dev and in test."""
    preprocessing = Preprocessing(image_size_px=IMAGE_SIZE_PX, resize="squash")
    rows = [
        ShardRow(
            image_id=f"{split}-{colour}-{thing}-{number}",
            split=split,
            image_png=encoded(tiny_picture(colour, thing, seed=hash_seed(split, colour, thing, number))),
            captions=tiny_captions(colour, thing),
        )
        for split, num_pictures in (("train", repeats), ("dev", 1), ("test", 1))
        for colour in COLOURS
        for thing in THINGS
        for number in range(num_pictures)
    ]
    rows.sort(key=lambda row: row.image_id)
    written = write_shards(rows, folder / "shards", images_per_shard=8)
    hashes = {
        split: split_hash({row.image_id: row.captions for row in rows if row.split == split}, picture_sha256s(rows))
        for split in ("train", "dev", "test")
    }
    (tokenizer or tiny_tokenizer()).save(folder / "tokenizer.json")
    write_index(ProcessedData(folder, "tiny", preprocessing, written.counts, hashes, "0" * 64, written.picture_hashes))
    return folder


def picture_sha256s(rows: Iterable[ShardRow]) -> dict[str, str]:
    """Image id -> hash of the picture, of rows whose prepared picture is the original."""
    return {row.image_id: hashlib.sha256(row.image_png).hexdigest() for row in rows}


def hash_seed(*parts: object) -> int:
    """A seed that is the same in every process."""
    return zlib.crc32(repr(parts).encode())
