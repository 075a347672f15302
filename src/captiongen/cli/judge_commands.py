"""Judges any captions of captioned pictures, one by one, as people would."""

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from captiongen.cli.judge_candidates import COLUMNS, need_known, read_candidates
from captiongen.cli.layout import Layout
from captiongen.cli.model_uri import STARTER, model_folder
from captiongen.errors import UsageError

if TYPE_CHECKING:
    from captiongen.analysis.judging.judge import Judgement
    from captiongen.data.sources import Source

app = typer.Typer(rich_markup_mode="markdown")

_SCORE_COLUMNS = (*COLUMNS, "score", "content", "gist", "cider", "likeness", "image_score", "errors")


@app.command(
    rich_help_panel="Models and captions",
    epilog="Example: `captiongen judge --images photos --captions captions.csv --candidates candidates.tsv "
    "--out scores.csv`, where candidates.tsv begins with a line `image`, tab, `caption` (a .csv has commas). By "
    "default the starter of the repository looks at the pictures; the last line says what was used.",
)
def judge(
    captions: Annotated[
        Path, typer.Option(help="By people: COCO .json, .csv, .tsv, .jsonl, or Flickr8k's token .txt.")
    ],
    candidates: Annotated[
        Path, typer.Option(help="Captions to judge: a .tsv or .csv with the columns image and caption.")
    ],
    out: Annotated[Path, typer.Option(help="Where the scores (CSV, one line a candidate) go.")],
    images: Annotated[
        Path | None, typer.Option(help="Folder or zip archive of pictures; not needed with --no-image.")
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            help="The captioner that looks at the pictures, and whose matcher, where its reranker has one, compares "
            "captions: models:/NAME@ALIAS or models:/NAME/VERSION (registry), bento:TAG (packaged), `starter` (comes "
            "with the repository), or a captioner folder. It likes its own captions: judge those by another one."
        ),
    ] = STARTER,
    is_blind: Annotated[bool, typer.Option("--no-image", help="Look at no picture: by the references alone.")] = False,
) -> None:
    """Scores captions by the picture and by what people say of it, and names what is wrong with each.

    The scores, 0 to 1, order captions of any images; the same files give the same scores. Frequencies of words, and the
    pictures that each is compared with, are taken from all of them, so give the whole set, not the judged images alone.
    """
    from tqdm import tqdm

    from captiongen.analysis.errors.fact_reader import FactReader
    from captiongen.analysis.judging.judge import Judge
    from captiongen.cli.judge_pictures import Eyes
    from captiongen.cli.score_commands import need_inputs, need_place
    from captiongen.data.sources.captions_file import open_captions
    from captiongen.files import write_atomically
    from captiongen.model.checkpoint import load_captioner

    if images is None and not is_blind:
        raise UsageError("Expected --images, or --no-image to judge by the references alone, found neither.")
    need_inputs(captions, images)
    need_place(out)
    rows = read_candidates(candidates)
    source = open_captions(captions, images)
    references, names, ambiguous = _references(source)
    need_known(rows, names, ambiguous)
    # The references can do without anybody's matcher; then a project without the starter can judge.
    is_alone = is_blind and model == STARTER and not Layout().starter.is_dir()
    loaded = None if is_alone else load_captioner(model_folder(model, project=Layout().root, model_name=""))
    matcher = None if loaded is None else loaded.captioner.matcher
    seen = {} if loaded is None or is_blind else Eyes(loaded).look(source, _by_image(rows, names))
    judged = Judge(
        references,
        FactReader(),
        image_scorer=None if is_blind else lambda *pair: seen[pair],
        embedder=None if matcher is None else matcher.embed,
    )
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(_SCORE_COLUMNS)
    for image, caption in tqdm(rows, desc="judge", unit="caption", disable=None):
        writer.writerow([image, caption, *_cells(judged.judge(names[image], caption))])
    write_atomically(out, table.getvalue().encode())
    num_images = len({names[image] for image, _ in rows})
    told = _describe(model, has_matcher=matcher is not None, is_blind=is_blind)
    typer.echo(f"judged {len(rows)} captions of {num_images} images by {told}: {out}")


def _references(source: "Source") -> tuple[Mapping[str, tuple[str, ...]], Mapping[str, str], Mapping[str, int]]:
    """Returns image id -> captions that are not blank, each name of one image -> its id, those of several -> how many.

    An image goes by its id, its path, and the last part of its path.
    """
    references: dict[str, tuple[str, ...]] = {}
    owners: dict[str, set[str]] = defaultdict(set)
    for item in source.items():
        if texts := tuple(caption for caption in item.captions if caption.strip()):
            references[item.image_id] = texts
            for name in (item.image_id, item.path, item.path.rsplit("/", maxsplit=1)[-1]):
                owners[name].add(item.image_id)
    names = {name: next(iter(ids)) for name, ids in owners.items() if len(ids) == 1}
    return references, names, {name: len(ids) for name, ids in owners.items() if len(ids) > 1}


def _describe(model: str, *, has_matcher: bool, is_blind: bool) -> str:
    matcher = "its matcher" if not is_blind else f"the matcher of {model}"
    by_references = "the references" + (f" ({matcher} compares them)" if has_matcher else "")
    if is_blind:
        return f"{by_references} alone"
    return f"the pictures ({model}{' and its matcher' if has_matcher else ''}) and {by_references}"


def _by_image(rows: Sequence[tuple[str, str]], names: Mapping[str, str]) -> dict[str, list[str]]:
    captions: dict[str, list[str]] = {}
    for image, caption in rows:
        captions.setdefault(names[image], []).append(caption)
    return captions


def _cells(found: "Judgement") -> list[str]:
    numbers = (found.score, found.content, found.gist, found.cider, found.likeness, found.image_score)
    return [*("" if number is None else f"{number:.6f}" for number in numbers), "; ".join(map(str, found.errors))]
