"""Captions of a split of the project's data by any model, also one that wants its pictures in another size."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from captiongen.cli.layout import Layout
from captiongen.data.images import decode_image
from captiongen.data.manifest import read_manifest
from captiongen.data.shards import open_processed
from captiongen.data.sources import open_source
from captiongen.inference import CaptionEngine, caption_split
from captiongen.params import Params
from captiongen.types import CaptionedImage, Split


def caption_split_with(model_folder: Path, layout: Layout, params: Params, split: Split) -> Iterator[CaptionedImage]:
    """Captions the images of a split, in the order of the shards; each n-best list has all beams.

    A model that was trained at another size gets the original pictures, as it would in service, not enlarged copies.
    """
    engine = CaptionEngine.load(model_folder)
    data = open_processed(layout.processed)
    if engine.manifest.preprocessing == data.preprocessing:
        yield from caption_split(engine, data, split, batch_size=params.evaluate.batch_size)
        return
    source = open_source(params.ingest, layout.root / params.ingest.path)
    manifest = read_manifest(layout.interim / "manifest.parquet")
    path_of = dict(zip(manifest["image_id"], manifest["path"], strict=True))
    decode = engine.manifest.decode.with_all_beams()
    remaining = iter(data.references(split).items())
    while rows := list(islice(remaining, params.evaluate.batch_size)):
        pictures = [decode_image(source.read(path_of[image_id])) for image_id, _ in rows]
        for (image_id, references), result in zip(rows, engine.caption(pictures, decode=decode), strict=True):
            yield CaptionedImage(image_id, result.hypotheses, tuple(references))
