"""Judges any captions of captioned pictures, one by one, as people would."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from captiongen.cli.layout import Layout
from captiongen.cli.model_uri import STARTER, model_folder
from captiongen.errors import DataError, UsageError

if TYPE_CHECKING:
    from captiongen.analysis.judging.judge import Judgement
    from captiongen.data.sources import Source

app = typer.Typer(rich_markup_mode="markdown")

_NUM_SHOWN = 20
_COLUMNS = ("image", "caption")
_SCORE_COLUMNS = (*_COLUMNS, "score", "content", "gist", "cider", "likeness", "image_score", "errors")


@app.command(
    rich_help_panel="Models and captions",
    epilog="Example: `captiongen judge --images photos --captions captions.csv --candidates candidates.tsv "
    "--out scores.csv`, where candidates.tsv begins with a line `image`, tab, `caption`. By default the "
    "starter of the repository looks at the pictures; the last line says what was used.",
)
def judge(
    images: Annotated[Path, typer.Option(help="Folder or zip archive of pictures.")],
    captions: Annotated[
        Path, typer.Option(help="By people: COCO .json, .csv, .tsv, .jsonl, or Flickr8k's token .txt.")
    ],
    candidates: Annotated[Path, typer.Option(help="Captions to judge: a .tsv with the columns image and caption.")],
    out: Annotated[Path, typer.Option(help="Where the scores (CSV, one line a candidate) go.")],
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

    need_inputs(captions, images)
    need_place(out)
    rows = read_candidates(candidates)
    source = open_captions(captions, images)
    references, names = _references(source)
    _check(rows, names)
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


def read_candidates(path: Path) -> list[tuple[str, str]]:
    """Reads (image, caption) pairs from a tab-separated file; the order of the columns does not matter.

    Raises:
        UsageError: the file is not there.
        DataError: it is no such table, or a line lacks a cell.
    """
    try:
        # Not `splitlines`, which also breaks a caption at the rarer separators of Unicode.
        lines = [line.removesuffix("\r") for line in path.read_text(encoding="utf-8-sig").split("\n")]
    except FileNotFoundError:
        raise UsageError(f"Expected captions to judge at {path} (--candidates), found none.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Expected UTF-8 text in {path}, could not read it: {error}.") from error
    header = lines[0].split("\t") if lines else []
    if not set(_COLUMNS) <= set(header):
        found = ", ".join(header) or "nothing"
        raise DataError(
            f"{path}: expected a first line with the columns image and caption, tab between; found {found}."
        )
    problems, rows = [], []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = dict(zip(header, line.split("\t"), strict=False))
        image, caption = (cells.get(column, "").strip() for column in _COLUMNS)
        if image and len(line.split("\t")) == len(header):  # a caption may be empty: a captioner may say nothing
            rows.append((image, caption))
        else:
            problems.append(f"line {number}: expected {len(header)} cells, an image among them; found {line!r}")
    _report(problems, "Mend the lines named above.")
    if not rows:
        raise DataError(f"{path}: expected captions below the first line, found none.")
    return rows


def _references(source: "Source") -> tuple[Mapping[str, tuple[str, ...]], Mapping[str, str]]:
    """Returns image id -> captions that are not blank, and each name that an image goes by -> its id."""
    references: dict[str, tuple[str, ...]] = {}
    names: dict[str, str] = {}
    ambiguous: set[str] = set()
    for item in source.items():
        if texts := tuple(caption for caption in item.captions if caption.strip()):
            references[item.image_id] = texts
            for name in {item.image_id, item.path, item.path.rsplit("/", maxsplit=1)[-1]}:
                if names.setdefault(name, item.image_id) != item.image_id:
                    ambiguous.add(name)
    return references, {name: image_id for name, image_id in names.items() if name not in ambiguous}


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


def _check(rows: Sequence[tuple[str, str]], names: Mapping[str, str]) -> None:
    unknown = sorted({image for image, _ in rows} - names.keys())
    _report(
        [f"{image}: not among the captioned pictures, or the name of several" for image in unknown],
        "Name images as the captions file does, and check --images.",
    )


def _report(problems: Sequence[str], remedy: str) -> None:
    for problem in problems[:_NUM_SHOWN]:
        typer.echo(problem, err=True)
    if problems:
        raise DataError(
            f"Expected an image with references and a caption on each line; that failed {len(problems)} times. {remedy}"
        )
