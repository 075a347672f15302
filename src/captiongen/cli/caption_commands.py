"""Captions on the command line: of your own pictures, and of one held-out picture beside what people said."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import captiongen
from captiongen.adapters.code_digest import code_digest
from captiongen.cli.layout import Layout
from captiongen.cli.model_uri import HELP, model_folder
from captiongen.errors import CaptionGenError, DataError, ImageDecodeError, UsageError
from captiongen.files import sha256_of_file, write_atomically
from captiongen.params import load_params

if TYPE_CHECKING:
    from captiongen.inference import CaptionEngine
    from captiongen.types import CaptionResult, Split

app = typer.Typer(rich_markup_mode="markdown")
_PANEL = "Models and captions"
_BATCH_SIZE = 16


@app.command(
    rich_help_panel=_PANEL,
    epilog="Examples: `captiongen caption holiday.jpg` · `captiongen caption photos/*.jpg --json > captions.jsonl` · "
    "`captiongen caption a.png --model models:/captiongen@champion --alternatives 3`",
)
def caption(
    images: Annotated[list[Path], typer.Argument(help="JPEG, PNG, WebP, GIF, TIFF or BMP files, or folders of them.")],
    model: Annotated[str | None, typer.Option(help=HELP)] = None,
    alternatives: Annotated[
        int, typer.Option(help="Captions per picture, best first; at most as many as the model has beams.", min=1)
    ] = 1,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object per picture and line.")] = False,
) -> None:
    """Captions your own pictures.

    Pictures that are not there or cannot be read are named on standard error, the others are captioned all the same,
    and the exit code is 3.
    """
    from captiongen.inference import CaptionEngine

    paths = _pictures(images)
    folder = _folder(model)
    engine = CaptionEngine.load(folder)
    if model is None:
        _say_which(folder, engine.manifest.dataset)
    _need_hypotheses(engine, alternatives)
    num_unreadable = 0
    for start in range(0, len(paths), _BATCH_SIZE):
        num_unreadable += _caption_batch(engine, paths[start : start + _BATCH_SIZE], alternatives, is_json)
    if num_unreadable:
        raise DataError(f"{num_unreadable} of {len(paths)} pictures could not be read; they are named above.")


@app.command(rich_help_panel=_PANEL, epilog="Example: `captiongen show --seed 3`")
def show(
    model: Annotated[str | None, typer.Option(help=HELP)] = None,
    seed: Annotated[int, typer.Option(help="Which held-out picture.", min=0)] = 0,
) -> None:
    """Captions one held-out picture with the packaged model, beside what people said, and the metrics table."""
    from captiongen.data.captions_table import read_captions, read_facts
    from captiongen.data.shards import open_processed
    from captiongen.metrics.report import format_report, read_report
    from captiongen.model.checkpoint import read_manifest

    layout = Layout()
    params = load_params(layout.params)
    evaluated = read_captions(layout.evaluation / "captions.parquet")
    chosen = evaluated[seed % len(evaluated)]
    picture = _held_out_picture(chosen.image_id, params.evaluate.split)
    folder = _folder(model)
    manifest = read_manifest(folder)
    is_of_this_data = manifest.data_hash == open_processed(layout.processed).data_hash
    held_out = ", never trained on" if is_of_this_data else ""
    typer.echo(f"\npicture     {picture}   ({params.ingest.name}, {params.evaluate.split} split{held_out})")
    typer.secho(f"caption     {_caption_once(picture, folder)}", bold=True)
    for reference in chosen.references:
        typer.echo(f"a person    {reference}")
    typer.echo(f"model       {_name(folder, model)}, trained on {manifest.dataset}")
    if not is_of_this_data:
        typer.echo(
            f"note        That model was trained on other data ({manifest.dataset} {manifest.data_hash[:8]}). "
            "`captiongen release` puts the present one into service; `--model models/captioner` shows it before."
        )
    if manifest.weights_sha256 != read_facts(layout.evaluation / "captions.parquet").get("model_sha256"):
        typer.echo("note        The metrics below are of the model in models/captioner, which is another one.")
    typer.echo("\n" + format_report(read_report(layout.evaluation / "metrics.json")))


def _say_which(folder: Path, dataset: str) -> None:
    """Names a model that nobody named, on standard error."""
    hint = "; `--model starter` knows photographs" if dataset == "scenes" else ""
    typer.echo(f"captions by {_name(folder, None)}, trained on {dataset}{hint}", err=True)


def _name(folder: Path, uri: str | None) -> str:
    """What people call the model in a folder: its release, or how it was asked for."""
    from captiongen.model.release import RELEASE_FILE, Release

    path = folder / RELEASE_FILE
    if path.is_file():
        release = Release.model_validate_json(path.read_bytes())
        return f"{release.name} version {release.version}"
    return uri or str(folder)


def _held_out_picture(image_id: str, split: "Split") -> Path:
    """Writes a picture of the processed data where a person can look at it."""
    from captiongen.data.shards import open_processed

    layout = Layout()
    row = next((row for row in open_processed(layout.processed).rows(split) if row.image_id == image_id), None)
    if row is None:
        raise DataError(f"Expected {image_id} in split {split} of {layout.processed}, found none. Run `dvc repro`.")
    path = layout.state / "shown" / f"{Path(image_id).stem}.png"
    write_atomically(path, row.image_png)
    return path


def _caption_once(picture: Path, model: Path) -> str:
    """The model's caption of a shown picture; kept beside it, since loading the model takes longer than the rest."""
    identity = sha256_of_file(model / "manifest.json") + sha256_of_file(picture) + _own_code()
    kept = picture.with_name(f"{picture.stem}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}.txt")
    if not kept.is_file():
        from captiongen.data.images import decode_image
        from captiongen.inference import CaptionEngine

        [result] = CaptionEngine.load(model).caption([decode_image(picture.read_bytes())])
        write_atomically(kept, result.best.caption)
    return kept.read_text(encoding="utf-8")


def _own_code() -> str:
    """A digest of this package: another decoding, or preparing of pictures, is another caption."""
    package = Path(captiongen.__file__).parent
    return code_digest([package], root=package)


def _need_hypotheses(engine: "CaptionEngine", num_hypotheses: int) -> None:
    """Refuses what the model's own search does not find: another search would have another best caption."""
    decode = engine.manifest.decode
    if num_hypotheses == 1:
        return
    if decode.method != "beam":
        raise UsageError(
            f"Expected a model that searches with beams for --alternatives {num_hypotheses}, found the method "
            f"`{decode.method}`, which finds one caption. Leave the option out."
        )
    if num_hypotheses > decode.num_beams:
        raise UsageError(
            f"Expected --alternatives of at most {decode.num_beams}, as many as this model has beams, found "
            f"{num_hypotheses}. More beams would change the best caption too; train.decode.num_beams sets them."
        )


def _caption_batch(engine: "CaptionEngine", paths: list[Path], num_alternatives: int, is_json: bool) -> int:
    """Captions one batch, prints it, and returns how many of its pictures could not be read."""
    from captiongen.data.images import decode_image

    read, pictures = [], []
    for path in paths:
        try:
            pictures.append(decode_image(path.read_bytes()))
            read.append(path)
        except (ImageDecodeError, OSError) as error:
            typer.echo(f"{path}: {getattr(error, 'strerror', None) or error}", err=True)
    decode = engine.manifest.decode
    if num_alternatives > 1:
        decode = decode.model_copy(update={"num_hypotheses": num_alternatives})
    for path, result in zip(read, engine.caption(pictures, decode=decode), strict=True):
        _print(path, result, num_alternatives, is_json)
    return len(paths) - len(read)


def _print(path: Path, result: "CaptionResult", num_alternatives: int, is_json: bool) -> None:
    hypotheses = result.hypotheses[:num_alternatives]
    if is_json:
        best = result.best
        words = [
            {"word": one.word, "probability": round(one.probability, 4), "confidence": _rounded(one.confidence)}
            for one in best.words
        ]
        others = [{"caption": one.caption, "score": round(one.score, 4)} for one in hypotheses]
        sure = {"confidence": _rounded(best.confidence), "is_doubtful": result.is_doubtful}
        answer = {"image": str(path), "caption": best.caption, **sure, "words": words, "alternatives": others}
        typer.echo(json.dumps(answer))
        return
    typer.echo(f"{path}: {result.best.caption}{' (doubtful)' if result.is_doubtful else ''}")
    for one in hypotheses[1:]:
        typer.echo(f"{' ' * len(str(path))}  {one.caption}")


def _rounded(confidence: float | None) -> float | None:
    return None if confidence is None else round(confidence, 4)


def _pictures(arguments: list[Path]) -> list[Path]:
    """The files that were named, and those in the folders that were; what is missing among others stays named.

    Raises:
        UsageError: a folder has no picture, or none of the paths is there.
    """
    suffixes = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp"}
    if not any(argument.exists() for argument in arguments):
        raise UsageError(
            f"Expected a picture or a folder of pictures, found nothing at {', '.join(map(str, arguments))}."
        )
    paths: list[Path] = []
    for argument in arguments:
        if argument.is_dir():
            inside = sorted(path for path in argument.iterdir() if path.suffix.lower() in suffixes)
            if not inside:
                raise UsageError(f"Expected pictures in {argument}, found none ({', '.join(sorted(suffixes))}).")
            paths += inside
        else:
            paths.append(argument)
    return paths


def _folder(uri: str | None) -> Path:
    """The model; params.yaml is only asked for the released model's name, and may be absent."""
    try:
        name = load_params(Layout().params).release.model_name
    except CaptionGenError:
        name = "captiongen"
    return model_folder(uri, project=Layout().root, model_name=name)
