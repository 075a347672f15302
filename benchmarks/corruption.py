"""Captions made wrong on purpose, and processed data that hold them."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from captiongen.data.shards import ProcessedData, split_hash, write_index, write_shards
from captiongen.files import atomic_folder
from captiongen.params import TokenizerParams
from captiongen.text.normalise import normalise_caption
from captiongen.text.tokenizer import CaptionTokenizer

KINDS = ("swapped", "truncated", "disordered")
#: Of a shorter caption too little is left to tell what was done to it.
MIN_WORDS = 5


@dataclass(frozen=True, slots=True)
class Corrupted:
    """Captions, some of which were made wrong.

    Attributes:
        captions: image id -> its captions, as many as before and in their order.
        kinds: (image id, place of the caption) -> what was done to it.
    """

    captions: dict[str, tuple[str, ...]]
    kinds: dict[tuple[str, int], str]


def corrupt(captions: Mapping[str, Sequence[str]], *, share: float, seed: int) -> Corrupted:
    """Makes a share of all captions wrong, a third in each way.

    swapped: captions go round among images, so each stands with another image's picture. truncated: the first 30 to
    60 % of the words, three at least. disordered: the same words in another order.
    """
    rng = random.Random(seed)
    places = [(image_id, place) for image_id, texts in captions.items() for place in range(len(texts))]
    long_enough = [key for key in places if len(normalise_caption(captions[key[0]][key[1]]).split()) >= MIN_WORDS]
    chosen = rng.sample(long_enough, round(share * len(places)))
    kinds = {key: KINDS[number % len(KINDS)] for number, key in enumerate(chosen)}
    changed = {image_id: list(texts) for image_id, texts in captions.items()}
    swapped = [key for key in chosen if kinds[key] == "swapped"]
    for (image_id, place), (other, its_place) in zip(swapped, swapped[1:] + swapped[:1], strict=True):
        changed[image_id][place] = captions[other][its_place]
        if other == image_id:  # next to each other by chance: it would be no swap
            kinds.pop((image_id, place))
    for image_id, place in chosen:
        words = normalise_caption(captions[image_id][place]).split()
        if kinds.get((image_id, place)) == "truncated":
            changed[image_id][place] = " ".join(words[: max(3, round(rng.uniform(0.3, 0.6) * len(words)))])
        elif kinds.get((image_id, place)) == "disordered":
            mixed = words
            while mixed == words:
                mixed = rng.sample(words, len(words))
            changed[image_id][place] = " ".join(mixed)
    return Corrupted({image_id: tuple(texts) for image_id, texts in changed.items()}, kinds)


def write_with_captions(
    data: ProcessedData, captions: Mapping[str, Sequence[str]], folder: Path, *, tokenizer: TokenizerParams
) -> None:
    """Writes processed data whose training images and captions are those of `captions`; dev and test stay as they are.

    The tokenizer is trained on them, as `preprocess` would. Nothing happens where the folder is there already.
    """
    if folder.is_dir():
        return
    with atomic_folder(folder) as part:
        rows = (
            replace(row, captions=tuple(captions[row.image_id])) if split == "train" else row
            for split in ("train", "dev", "test")
            for row in data.rows(split)
            if split != "train" or row.image_id in captions
        )
        written = write_shards(rows, part / "shards", images_per_shard=512)
        texts = (text for of_one in captions.values() for text in of_one)
        CaptionTokenizer.train(texts, tokenizer).save(part / "tokenizer.json")
        train_hash = split_hash(captions, dict.fromkeys(captions, ""))
        write_index(
            replace(
                data,
                folder=part,
                counts=written.counts,
                split_hashes={**data.split_hashes, "train": train_hash},
                data_hash=train_hash,
                picture_hashes=written.picture_hashes,
            )
        )
