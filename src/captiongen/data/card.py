"""The data card: one self-contained page that shows what a data set holds. The same data give the same bytes."""

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from string import Template

import pandas as pd
from PIL import Image

from captiongen.data import card_plots
from captiongen.data.shards import ProcessedData
from captiongen.files import write_atomically
from captiongen.params import TokenizerParams
from captiongen.text.normalise import normalise_caption
from captiongen.text.tokenizer import CaptionTokenizer
from captiongen.types import SPLITS, Split

_THUMBNAIL_PX = 360
_NUM_LISTED = 20


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture to show, with what people said of it."""

    image_id: str
    split: Split
    picture: Image.Image
    captions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _SplitText:
    """What a card counts in one split's captions."""

    num_captions: int
    lengths: tuple[int, ...]
    words: Counter[str]
    unknown: Counter[str]


def write_card(
    path: Path,
    *,
    processed: ProcessedData,
    manifest: pd.DataFrame,
    tokenizer: CaptionTokenizer,
    tokenizer_params: TokenizerParams,
    samples: Sequence[Sample],
    corrections: Sequence[str] = (),
) -> None:
    """Writes the card as one HTML file with everything inside: plots, sample pictures, tables.

    Args:
        path: the HTML file.
        processed: names the data set, its hash and the preprocessing.
        manifest: every image that was ingested, `unused` ones included.
        tokenizer: trained on the train split.
        tokenizer_params: how.
        samples: pictures to show, in this order.
        corrections: what accepted corrections made of the train split after it was ingested, a line each.
    """
    num_images = manifest["split"].value_counts()
    texts = {
        split: _read_captions(manifest.loc[manifest["split"] == split, "captions"], tokenizer)
        for split in SPLITS
        if num_images.get(split, 0)
    }
    counts = {split: int(num_images[split]) for split in texts}
    preprocessing = processed.preprocessing
    page = Template(files("captiongen.data").joinpath("card.html").read_text(encoding="utf-8")).substitute(
        dataset=escape(processed.dataset),
        facts=_facts(counts, texts, tokenizer),
        splits=_split_table(counts, texts),
        plots=_plots(counts, texts, tokenizer_params),
        tokenizer=_describe(tokenizer_params, tokenizer),
        unknown=_unknown_table(texts),
        duplicates=_duplicates(manifest),
        corrections=_corrections(corrections),
        samples="".join(map(_sample, samples)),
        data_hash=processed.data_hash,
        preprocessing=f"{preprocessing.image_size_px} x {preprocessing.image_size_px} pixels ({preprocessing.resize})",
    )
    write_atomically(path, page)


def _read_captions(captions: Iterable[Sequence[str]], tokenizer: CaptionTokenizer) -> _SplitText:
    lengths: list[int] = []
    words: Counter[str] = Counter()
    for caption in (caption for of_image in captions for caption in of_image):
        split_words = normalise_caption(caption).split()
        lengths.append(len(split_words))
        words.update(split_words)
    unknown = Counter({word: count for word, count in words.items() if tokenizer.unk_id in tokenizer.encode(word)})
    return _SplitText(len(lengths), tuple(lengths), words, unknown)


def _facts(counts: Mapping[Split, int], texts: Mapping[Split, _SplitText], tokenizer: CaptionTokenizer) -> str:
    facts = {
        "images": sum(counts.values()),
        "captions": sum(text.num_captions for text in texts.values()),
        "different words": len(set().union(*(text.words for text in texts.values()))),
        "tokens in the vocabulary": tokenizer.vocabulary_size,
    }
    return "".join(f"<div><dt>{name}</dt><dd>{value:,}</dd></div>" for name, value in facts.items())


def _split_table(counts: Mapping[Split, int], texts: Mapping[Split, _SplitText]) -> str:
    rows = []
    for split, text in texts.items():
        num_words = max(1, text.words.total())
        rows.append(
            (
                split,
                f"{counts[split]:,}",
                f"{text.num_captions:,}",
                f"{text.num_captions / counts[split]:.2f}",
                f"{sum(text.lengths) / max(1, text.num_captions):.1f}",
                f"{text.unknown.total():,}",
                f"{text.unknown.total() / num_words:.2%}",
            )
        )
    header = ("split", "images", "captions", "captions an image", "words a caption", "unknown words", "of all words")
    return _table(header, rows)


def _plots(counts: Mapping[Split, int], texts: Mapping[Split, _SplitText], params: TokenizerParams) -> str:
    train_words = texts["train"].words
    min_count = params.min_count if params.kind == "word" else None
    plots = {
        "Caption lengths": card_plots.caption_lengths({split: text.lengths for split, text in texts.items()}),
        "Split sizes": card_plots.split_sizes(counts),
        "Word frequencies": card_plots.word_frequencies(train_words, min_count=min_count),
        "Most frequent words": card_plots.common_words(train_words),
    }
    return "".join(
        f'<figure><figcaption>{title}</figcaption><img alt="{title}" src="{_inline(svg, "image/svg+xml")}"></figure>'
        for title, svg in plots.items()
    )


def _describe(params: TokenizerParams, tokenizer: CaptionTokenizer) -> str:
    kinds = {
        "word": f"Words that occur at least {params.min_count} times",
        "bpe": "Byte-pair pieces",
        "pretrained": f"Pieces of {escape(str(params.source))} that occur",
    }
    return (
        f"{kinds[params.kind]} in training captions: {tokenizer.vocabulary_size:,} tokens with the four special ones."
    )


def _unknown_table(texts: Mapping[Split, _SplitText]) -> str:
    rows = []
    for split in ("dev", "test"):
        if split not in texts or not texts[split].unknown:
            continue
        unknown = sorted(texts[split].unknown.items(), key=lambda entry: (-entry[1], entry[0]))
        listed = ", ".join(f"{escape(word)} ({count})" for word, count in unknown[:_NUM_LISTED])
        rows.append((split, f"{len(unknown):,}", listed))
    if not rows:
        return "<p>None: every word of dev and test can be written.</p>"
    return _table(("split", "different words", "most frequent"), rows, text_columns=(2,))


def _duplicates(manifest: pd.DataFrame) -> str:
    decodable = manifest[manifest["is_decodable"]]
    rows = []
    for kind, column in (("same bytes", "sha256"), ("same perceptual hash", "perceptual_hash")):
        for _, group in decodable.groupby(column, sort=True):
            # Equal bytes have equal perceptual hashes: list them once.
            if len(group) > 1 and (column == "sha256" or group["sha256"].nunique() > 1):
                rows.append((kind, ", ".join(f"{escape(i)} ({s})" for i, s in group[["image_id", "split"]].to_numpy())))
    if not rows:
        return "<p>None found, neither by bytes nor by perceptual hash.</p>"
    more = f"<p><small>and {len(rows) - _NUM_LISTED:,} more</small></p>" if len(rows) > _NUM_LISTED else ""
    return _table(("found by", "images"), rows[:_NUM_LISTED], text_columns=(1,)) + more


def _corrections(lines: Sequence[str]) -> str:
    if not lines:
        return "<p>None: the train split is as the source has it.</p>"
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _sample(sample: Sample) -> str:
    thumbnail = sample.picture.copy()
    thumbnail.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    buffer = BytesIO()
    thumbnail.save(buffer, format="JPEG", quality=85)
    captions = "".join(f"<li>{escape(caption)}</li>" for caption in sample.captions)
    image_id = escape(sample.image_id)
    return (
        f'<figure><img alt="{image_id}" src="{_inline(buffer.getvalue(), "image/jpeg")}">'
        f"<figcaption><small>{sample.split} · {image_id}</small></figcaption><ul>{captions}</ul></figure>"
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], *, text_columns: Sequence[int] = ()) -> str:
    def cells(tag: str, values: Sequence[str]) -> str:
        kinds = (' class="text"' if column in text_columns else "" for column in range(len(values)))
        return "".join(f"<{tag}{kind}>{value}</{tag}>" for kind, value in zip(kinds, values, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells('th', header)}</tr></thead><tbody>{body}</tbody></table>"


def _inline(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
