"""Scores any model on any captioned folder: the same captioning and the same metrics as the stage `evaluate`."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from captiongen.cli.layout import Layout
from captiongen.cli.model_uri import HELP, model_folder
from captiongen.errors import DataError, ImageDecodeError, SourceError, UsageError
from captiongen.params import TableParams

if TYPE_CHECKING:
    from PIL import Image

    from captiongen.data.sources import Source
    from captiongen.inference import CaptionEngine
    from captiongen.params import DecodeParams
    from captiongen.types import CaptionedImage, Rejection, SourceItem

app = typer.Typer(rich_markup_mode="markdown")

_BATCH_SIZE = 32
_NUM_SHOWN = 20


@app.command(
    rich_help_panel="Models and captions",
    epilog="Examples: `captiongen score --model models:/captiongen@champion --images photos --captions captions.csv "
    "--out metrics.json` · `captiongen score --model models/captioner --images Flickr8k_Dataset.zip "
    "--captions Flickr8k.token.txt --split Flickr_8k.testImages.txt --num-beams 5 --out metrics.json`",
)
def score(
    model: Annotated[str, typer.Option(help=HELP.split(". ")[0] + ".")],
    images: Annotated[Path, typer.Option(help="Folder or zip archive of pictures.")],
    captions: Annotated[Path, typer.Option(help="COCO .json, .csv, .tsv, .jsonl, or Flickr8k's token .txt.")],
    out: Annotated[Path, typer.Option(help="Where the metrics report (JSON) goes.")],
    split: Annotated[Path | None, typer.Option(help="Names of the images to score, one per line.")] = None,
    captions_out: Annotated[Path | None, typer.Option(help="Also keep the captions, as Parquet.")] = None,
    num_beams: Annotated[int | None, typer.Option(help="Beams; the model's own way by default.", min=1)] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first images, by id.", min=1)] = None,
    image_column: Annotated[str, typer.Option(help="Tables: the column with the picture's path.")] = "image",
    caption_column: Annotated[list[str] | None, typer.Option(help="Tables: `caption` by default; repeatable.")] = None,
    is_partial: Annotated[bool, typer.Option("--allow-missing", help="Score what is left when images fail.")] = False,
    with_meteor: Annotated[bool, typer.Option("--meteor", help="METEOR too; needs Java and pycocoevalcap.")] = False,
    num_resamples: Annotated[int, typer.Option(help="Of the bootstrap.", min=100)] = 1000,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")] = "cpu",
) -> None:
    """Scores a registered, packaged or local model on any captioned pictures.

    Every image that is missing, unreadable or without captions is named, and nothing is scored then, unless
    `--allow-missing` says so: a smaller set is another set, and its report carries another split hash.
    """
    from captiongen.data.captions_table import write_captions
    from captiongen.data.shards import split_hash
    from captiongen.data.sources.captions_file import open_captions
    from captiongen.inference import CaptionEngine
    from captiongen.metrics.reliability import with_reliability
    from captiongen.metrics.report import format_report, score_captions, write_report

    need_inputs(captions, images)
    for path in (out, captions_out):
        need_place(path)
    _need_device(device)
    columns = TableParams(image_column=image_column, caption_columns=tuple(caption_column or ["caption"]))
    source = open_captions(captions, images, columns=columns)
    items, problems = select(source, _names(split), limit)
    engine = CaptionEngine.load(model_folder(model, project=Layout().root, model_name=""), device=device)
    decode = engine.manifest.decode
    if num_beams is not None:
        decode = decode.model_copy(update={"method": "beam", "num_beams": num_beams})
    rows: list[CaptionedImage] = []
    pictures: dict[str, str] = {}
    for row, sha256 in caption_items(engine, source, items, decode=decode, problems=problems, is_partial=is_partial):
        rows.append(row)
        pictures[row.image_id] = sha256
    _report_problems(problems, num_wanted=len(rows) + len(problems), is_partial=is_partial)
    references = {row.image_id: row.references for row in rows}
    report = score_captions(
        {row.image_id: row.hypotheses[0].caption for row in rows},
        references,
        decoding=decode.describe(),
        split_hash=split_hash(references, pictures),
        num_resamples=num_resamples,
        seed=0,
        with_meteor=with_meteor,
    )
    report = with_reliability(report, rows, min_confidence=decode.min_confidence)
    write_report(out, report)
    if captions_out is not None:
        facts = {"model_sha256": engine.manifest.weights_sha256, "split_hash": report.signature.split_hash}
        write_captions(captions_out, rows, facts=facts | {"decoding": decode.describe()})
    typer.echo(format_report(report))


def need_inputs(captions: Path, images: Path | None) -> None:
    """Refuses captions or pictures that are not there; pictures that are None are not needed.

    Raises:
        UsageError: with the option's name.
    """
    if not captions.is_file():
        raise UsageError(f"Expected a captions file at {captions} (--captions), found none.")
    if images is not None and not images.exists():
        raise UsageError(f"Expected a folder or zip archive of pictures at {images} (--images), found nothing.")


def need_place(path: Path | None) -> None:
    """Refuses a place that cannot be written, before hours are spent on what goes there.

    Raises:
        UsageError: a folder stands there, or nothing may be written there.
    """
    if path is None:
        return
    if path.is_dir():
        raise UsageError(f"Expected a file to write to, found the folder {path}. Name a file in it.")
    standing = next(folder for folder in path.absolute().parents if folder.exists())
    if not standing.is_dir() or not (path.exists() or os.access(standing, os.W_OK)):
        raise UsageError(f"Expected a folder that can be written for {path}, found {standing}, which cannot.")


def _need_device(device: str) -> None:
    import torch

    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:  # the latter from a torch that was built without the device
        why = str(error).partition("\n")[0]
        raise UsageError(f"Expected a device of this machine, such as cpu or cuda, found {device!r}: {why}") from error


def select(source: "Source", names: Sequence[str] | None, limit: int | None) -> tuple[list["SourceItem"], list[str]]:
    """Returns the images to score, and a line about each one that was asked for and cannot be scored.

    Args:
        source: pictures and captions.
        names: image ids or file names; None for all images.
        limit: only the first images, by id.

    Raises:
        DataError: a name stands for several images.
    """
    items, blank = _without_blank(source.items())
    rejections = [
        (rejection, {rejection.image_id, _file_name(rejection.path)}) for rejection in [*source.rejections(), *blank]
    ]
    if names is None:
        return items[:limit], [_describe(rejection) for rejection, _ in rejections]
    asked = set(names)
    by_name: dict[str, SourceItem] = {}
    for item in items:
        for name in asked & {item.image_id, item.path, _file_name(item.path)}:
            if by_name.setdefault(name, item) is not item:
                raise DataError(f"{name} names several images; write their paths in the split file.")
    wanted = sorted({by_name[name].image_id: by_name[name] for name in names if name in by_name}.items())
    unknown = [name for name in dict.fromkeys(names) if name not in by_name]
    why = {name: rejection for rejection, aliases in rejections for name in aliases}
    problems = [_describe(why[name]) if name in why else f"{name}: not in the captions file" for name in unknown]
    malformed = [_describe(rejection) for rejection, _ in rejections if not rejection.image_id]
    return [item for _, item in wanted][:limit], problems + malformed


def _without_blank(items: "Iterable[SourceItem]") -> tuple[list["SourceItem"], list["Rejection"]]:
    """Sets images apart that cannot be scored: against a blank caption every hypothesis is wrong."""
    from captiongen.types import Rejection

    kept, blank = [], []
    for item in items:
        if all(caption.strip() for caption in item.captions):
            kept.append(item)
        else:
            blank.append(Rejection(item.image_id, item.path, "its caption is blank", item.captions))
    return kept, blank


def caption_items(
    engine: "CaptionEngine",
    source: "Source",
    items: Sequence["SourceItem"],
    *,
    decode: "DecodeParams",
    problems: list[str],
    is_partial: bool,
) -> Iterator[tuple["CaptionedImage", str]]:
    """Captions images batch by batch, each with the sha256 of its picture's file.

    Pictures that cannot be read get a line in `problems`.
    Once there is a problem and no partial set is wanted, the remaining pictures are still read, to name them all, but
    no longer captioned.
    """
    from tqdm import tqdm

    from captiongen.types import CaptionedImage

    remaining = iter(tqdm(items, desc="captions", unit="image", disable=None))
    while block := list(islice(remaining, _BATCH_SIZE)):
        read = [(item, picture) for item in block if (picture := read_picture(source, item, problems)) is not None]
        if not read or (problems and not is_partial):
            continue
        results = engine.caption([picture for _, (picture, _) in read], decode=decode)
        for (item, (_, sha256)), result in zip(read, results, strict=True):
            yield CaptionedImage(item.image_id, result.hypotheses, item.captions), sha256


def read_picture(source: "Source", item: "SourceItem", problems: list[str]) -> "tuple[Image.Image, str] | None":
    """Returns an image's picture and the sha256 of its file, or None and a line in `problems`."""
    from captiongen.data.images import decode_image

    try:
        data = source.read(item.path)
        return decode_image(data), hashlib.sha256(data).hexdigest()
    except (ImageDecodeError, SourceError) as error:
        problems.append(f"{item.image_id}: {error}")
        return None


def _report_problems(problems: Sequence[str], *, num_wanted: int, is_partial: bool) -> None:
    for problem in problems[:_NUM_SHOWN]:
        typer.echo(problem, err=True)
    if len(problems) > _NUM_SHOWN:
        typer.echo(f"... and {len(problems) - _NUM_SHOWN} more", err=True)
    if problems and not is_partial:
        raise DataError(
            f"Expected every image readable and with captions; that failed {len(problems)} times, as named above. Mend "
            "what is named, or score what is left with --allow-missing."
        )
    if problems:
        typer.echo(f"left out {len(problems)} of {num_wanted}, as --allow-missing says", err=True)


def _names(path: Path | None) -> list[str] | None:
    if path is None:
        return None
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Expected image names, one per line, in {path}: {error}.") from error
    if not names:
        raise UsageError(f"Expected image names, one per line, in {path}, found none.")
    return names


def _file_name(path: str) -> str:
    return path.rsplit("/", maxsplit=1)[-1]


def _describe(rejection: "Rejection") -> str:
    name = rejection.image_id or rejection.path
    return f"{name}: {rejection.reason}" if name else rejection.reason
