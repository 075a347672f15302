"""COCO captions: `images` and `annotations` in JSON, one file per split or one file and a seeded split."""

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from captiongen.data.sources.listing import Annotation, ListedSource, gather, seeded
from captiongen.data.sources.stores import PathFinder, Store, open_store
from captiongen.errors import SourceError
from captiongen.params import IngestParams
from captiongen.types import Rejection, Split


class CocoSource(ListedSource):
    """Image ids are COCO's numbers; files are found by `file_name`, or by its last part where that is unique."""

    def __init__(self, params: IngestParams, folder: Path, *, store: Store | None = None) -> None:
        coco = params.coco
        if (coco.dev_file is None) != (coco.test_file is None):
            raise SourceError("Expected ingest.coco.dev_file and test_file, or neither (a seeded split); found one.")
        splits: list[tuple[Split | None, str]] = [("train" if coco.dev_file else None, coco.train_file)]
        if coco.dev_file and coco.test_file:
            splits += [("dev", coco.dev_file), ("test", coco.test_file)]
        store = store or open_store(folder / coco.images_folder)
        paths = PathFinder(store)
        lines = chain.from_iterable(_lines(folder / file, split, paths) for split, file in splits)
        super().__init__(params.name, store, gather(lines, store=store, split_of=seeded(params)))


def _lines(path: Path, split: Split | None, paths: PathFinder) -> Iterator[Annotation | Rejection]:
    images, captions = _read(path)
    files: dict[str, str] = {}
    for image in images:
        image_id, file_name = _get(image, "id"), _get(image, "file_name")
        if image_id is None or not isinstance(file_name, str):
            yield Rejection("", "", f"{path.name}: an image lacks `id` or `file_name`: {json.dumps(image)[:200]}")
            continue
        files[str(image_id)] = paths.find(file_name)
        yield Annotation(str(image_id), files[str(image_id)], split=split)
    for entry in captions:
        image_id, caption = str(_get(entry, "image_id")), _get(entry, "caption")
        if not isinstance(caption, str):
            reason = f"{path.name}: an annotation has no text in `caption`"
            yield Rejection(image_id, files.get(image_id, ""), reason, (json.dumps(caption),))
        elif image_id not in files:
            yield Rejection(image_id, "", f"{path.name}: the caption's image is not in `images`", (caption,))
        else:
            yield Annotation(image_id, files[image_id], (caption.strip(),), split)


def _get(entry: object, key: str) -> Any:
    return entry.get(key) if isinstance(entry, dict) else None


def _read(path: Path) -> tuple[list[object], list[object]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SourceError(
            f"Expected COCO captions at {path}, found none ({error.strerror}). Correct ingest.coco in params.yaml."
        ) from error
    except (ValueError, RecursionError) as error:  # nested a thousand deep
        raise SourceError(f"{path} is no UTF-8 JSON of COCO captions: {error}") from error
    images, annotations = _get(content, "images"), _get(content, "annotations")
    if not isinstance(images, list) or not isinstance(annotations, list):
        raise SourceError(f"{path}: expected an object with the lists `images` and `annotations`, as COCO has.")
    return images, annotations
