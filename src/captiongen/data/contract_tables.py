"""The manifest as the flat tables that the data contract is judged on: images, captions, pairs, splits, vocabulary.

Every table has a column `row` with a name that people can look up. Nothing here says what is right or wrong.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from captiongen.text.normalise import normalise_caption
from captiongen.types import SPLITS

#: The splits that a model meets; `unused` images can leak nowhere.
LEARNING_SPLITS = tuple(split for split in SPLITS if split != "unused")
#: Pairs are listed this many bits beyond the limit, so that the limit is judged by the contract and not by this table.
_MARGIN_BITS = 2
#: Pictures compared at once; bounds memory to about this many times 9 bytes.
_BLOCK = 2**24


@dataclass(frozen=True, slots=True)
class ContractTables:
    """The tables: a row per image, caption and pair of pictures; one row of facts on the splits and on the words.

    Attributes:
        images: the manifest's columns but `captions`, and `shorter_side_px`, `longer_side_px`, `aspect_ratio` (null
            where nothing was decoded), `num_captions`, `num_repeated_captions`, `num_splits` (of this id).
        captions: `image_id`, `split`, `caption`, `num_tokens` (null for a null caption); `row` is `image_id#number`.
        pairs_across_splits: pictures of different learning splits that are the same file or look alike: `is_same_file`,
            `distance` (bits of the perceptual hash, null for the same file).
        pairs_within_split: the same for pictures that share a split, or of which one is unused.
        splits: one row: `train`, `dev` and `test`, each split's fraction of the images in these three.
        vocabulary: one row: `num_train_words` (distinct), `unseen_words_fraction` (of the running words of test).
    """

    images: pd.DataFrame
    captions: pd.DataFrame
    pairs_across_splits: pd.DataFrame
    pairs_within_split: pd.DataFrame
    splits: pd.DataFrame
    vocabulary: pd.DataFrame


def contract_tables(manifest: pd.DataFrame, *, near_duplicate_distance: int) -> ContractTables:
    """Derives all tables from a manifest.

    Args:
        manifest: as `captiongen.data.manifest` describes it.
        near_duplicate_distance: bits; look-alikes are listed up to a little more than this.
    """
    manifest = manifest.reset_index(drop=True)
    images = _images(manifest)
    captions = _captions(manifest)
    pairs = _pairs(images, near_duplicate_distance + _MARGIN_BITS)
    return ContractTables(
        images=images,
        captions=captions,
        pairs_across_splits=pairs[pairs["is_across_splits"]].drop(columns="is_across_splits"),
        pairs_within_split=pairs[~pairs["is_across_splits"]].drop(columns="is_across_splits"),
        splits=_splits(images),
        vocabulary=_vocabulary(captions),
    )


def _images(manifest: pd.DataFrame) -> pd.DataFrame:
    images = manifest.drop(columns="captions")
    unnamed = pd.Series([f"row {number}" for number in range(1, len(images) + 1)], index=images.index)
    images["row"] = images["image_id"].fillna(unnamed)
    sides = images[["width_px", "height_px"]].astype(float).where(images["is_decodable"], np.nan)
    images["shorter_side_px"], images["longer_side_px"] = sides.min(axis=1), sides.max(axis=1)
    images["aspect_ratio"] = images["longer_side_px"] / images["shorter_side_px"].where(images["shorter_side_px"] > 0)
    lists = [_as_list(value) for value in manifest["captions"]]
    images["num_captions"] = [len(texts) for texts in lists]
    images["num_repeated_captions"] = [_num_repeated(texts) for texts in lists]
    images["num_splits"] = images.groupby("image_id")["split"].transform("nunique")
    return images


def _as_list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple | np.ndarray) else []


def _num_repeated(texts: list[object]) -> int:
    spoken = [normalise_caption(text) for text in texts if isinstance(text, str)]
    return len(spoken) - len(set(spoken))


def _captions(manifest: pd.DataFrame) -> pd.DataFrame:
    rows = [
        (f"{image_id}#{number}", image_id, split, text if isinstance(text, str) else None)
        for image_id, split, texts in zip(manifest["image_id"], manifest["split"], manifest["captions"], strict=True)
        for number, text in enumerate(_as_list(texts))
    ]
    captions = pd.DataFrame(rows, columns=["row", "image_id", "split", "caption"]).astype({"caption": "str"})
    captions["num_tokens"] = captions["caption"].map(lambda text: len(normalise_caption(text).split()), "ignore")
    return captions.astype({"num_tokens": float})


def _splits(images: pd.DataFrame) -> pd.DataFrame:
    counts = images["split"].value_counts().reindex(LEARNING_SPLITS, fill_value=0)
    return (counts / max(int(counts.sum()), 1)).to_frame("splits").T.rename_axis("row").reset_index()


def _vocabulary(captions: pd.DataFrame) -> pd.DataFrame:
    spoken = captions.dropna(subset="caption")
    words = {split: _words(spoken.loc[spoken["split"] == split, "caption"]) for split in ("train", "test")}
    seen = set(words["train"])
    unseen = sum(word not in seen for word in words["test"]) / max(len(words["test"]), 1)
    return pd.DataFrame({"row": ["vocabulary"], "num_train_words": [len(seen)], "unseen_words_fraction": [unseen]})


def _words(captions: pd.Series) -> list[str]:
    return [word for caption in captions for word in normalise_caption(caption).split()]


def _pairs(images: pd.DataFrame, max_distance: int) -> pd.DataFrame:
    """Lists pairs of pictures that are the same file or differ in at most `max_distance` bits of their hash.

    Of many equal pictures each is paired with the next one only, in the order of splits, so that k copies make k - 1
    pairs and copies in two splits always make one across them.
    """
    pictures = images[images["is_decodable"]].dropna(subset=["sha256", "split"])
    pictures = pictures.sort_values(["perceptual_hash", "sha256", "split", "row"]).reset_index(drop=True)
    found = [
        _neighbours(pictures, ["sha256", "split", "row"]),
        _neighbours(pictures, ["perceptual_hash", "split", "row"]),
    ]
    firsts = pictures.drop_duplicates(["perceptual_hash", "split"]).index.to_numpy()
    hashes = np.array([int(text, 16) for text in pictures["perceptual_hash"][firsts]], dtype=np.uint64)
    found.append(firsts[_close(hashes, max_distance)])
    first, second = np.unique(np.concatenate(found), axis=0).T
    left, right = pictures.loc[first].reset_index(drop=True), pictures.loc[second].reset_index(drop=True)
    bits = [int(a, 16) ^ int(b, 16) for a, b in zip(left["perceptual_hash"], right["perceptual_hash"], strict=True)]
    is_same_file = left["sha256"] == right["sha256"]
    pairs = pd.DataFrame(
        {
            "row": left["row"] + " (" + left["split"] + ") = " + right["row"] + " (" + right["split"] + ")",
            "is_same_file": is_same_file,
            "distance": pd.Series([bit.bit_count() for bit in bits], dtype=float).mask(is_same_file),
            "is_across_splits": (left["split"] != right["split"])
            & left["split"].isin(LEARNING_SPLITS)
            & right["split"].isin(LEARNING_SPLITS),
        }
    )
    return pairs.sort_values("row", ignore_index=True)


def _neighbours(pictures: pd.DataFrame, order: list[str]) -> npt.NDArray[np.int64]:
    """Pairs each picture with the next that has the same first key; (pairs, 2) positions, the smaller first."""
    ordered = pictures.sort_values(order)
    positions = ordered.index.to_numpy()
    is_same = ordered[order[0]].to_numpy()[1:] == ordered[order[0]].to_numpy()[:-1]
    return np.sort(np.stack([positions[:-1], positions[1:]], axis=1)[is_same], axis=1)


def _close(hashes: npt.NDArray[np.uint64], max_distance: int) -> npt.NDArray[np.int64]:
    """Pairs of different hashes within `max_distance` bits; (pairs, 2), the smaller position first.

    All pairs are compared: 8,000 pictures take 0.2 s, and no index beats that before 100,000.
    """
    found = [np.empty((0, 2), dtype=np.int64)]
    block = max(1, _BLOCK // max(len(hashes), 1))
    for start in range(0, len(hashes), block):
        distances = np.bitwise_count(hashes[start : start + block, None] ^ hashes[None, start:])
        first, second = np.nonzero(distances <= max_distance)
        found.append(np.stack([first, second], axis=1)[second > first] + start)
    return np.concatenate(found)
