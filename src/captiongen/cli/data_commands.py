"""Commands that bring data in and choose between data sets."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from captiongen.cli.layout import Layout
from captiongen.cli.raw_data import RawData
from captiongen.errors import ParamsError, SourceError, UsageError
from captiongen.params import EncoderParams, Params, load_params

if TYPE_CHECKING:
    from captiongen.data.folder_format import FolderFormat, Survey

app = typer.Typer(rich_markup_mode="markdown")
_PANEL = "Data"
_FEW_IMAGES = 100
_CHOICES = "scenes, flickr8k, or the path of a folder with pictures and captions"

Name = Annotated[str | None, typer.Option(help="Name of the data set, or of the weights, in this project.")]


@app.command(rich_help_panel=_PANEL)
def fetch(
    what: Annotated[
        str | None,
        typer.Argument(help=f"{_CHOICES}; or `weights`. Default: what params.yaml names.", show_default=False),
    ] = None,
    file: Annotated[Path | None, typer.Argument(help="With `weights`: a safetensors file.", show_default=False)] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="With `flickr8k`: a folder that has the archives, or their content.")
    ] = None,
    num_images: Annotated[int | None, typer.Option(help="With `scenes`: how many to draw.")] = None,
    seed: Annotated[int | None, typer.Option(help="With `scenes`: of the drawings.")] = None,
    name: Name = None,
) -> None:
    """Brings a data set into data/raw and records it with DVC; does no work twice.

    For example:

    - `captiongen fetch` : the data set that params.yaml names
    - `captiongen fetch scenes --num-images 400 --seed 7` : draws the sample data
    - `captiongen fetch flickr8k` : downloads 1.1 GB, and goes on where it was interrupted
    - `captiongen fetch flickr8k --from ~/Downloads` : takes the archives from there
    - `captiongen fetch ~/my-photos` : a CSV, TSV, JSONL or COCO JSON file and the pictures beside it
    - `captiongen fetch weights convnext_nano.safetensors` : an encoder's weights
    """
    _refuse_stray_options(
        what,
        {
            "FILE": (file, "weights"),
            "--from": (source, "flickr8k"),
            "--num-images": (num_images, "scenes"),
            "--seed": (seed, "scenes"),
        },
    )
    layout = Layout()
    raw = RawData(layout)
    if what is None:
        _fetch_configured(raw, layout)
    elif what == "scenes":
        raw.fetch_scenes(num_images=num_images, seed=seed)
    elif what == "flickr8k":
        raw.fetch_flickr8k(source=source)
    elif what == "weights":
        if file is None:
            raise UsageError("Expected a file: captiongen fetch weights FILE.safetensors")
        path, sha256 = raw.fetch_weights(file, name)
        typer.echo(
            f"To use them, set in params.yaml under train.encoder:\n  weights: {path}\n  weights_sha256: {sha256}"
        )
    else:
        raw.fetch_folder(_own_folder(what, ("scenes", "flickr8k", "weights")), name)


@app.command(rich_help_panel=_PANEL)
def use(
    what: Annotated[
        str, typer.Argument(help=f"{_CHOICES}; or `starter`, the settings that the starter was made with.")
    ],
    name: Name = None,
    encoder: Annotated[str | None, typer.Option(help="The image encoder: a timm model's name.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Its weights, a safetensors file, which is imported.")] = None,
    decoder: Annotated[
        str | None,
        typer.Option(
            help="Begin the decoder with a GPT-2, BERT or RoBERTa: a folder, which is imported, or its name on the "
            "Hugging Face hub."
        ),
    ] = None,
) -> None:
    """Switches to a data set: rewrites params.yaml from its preset and says what to run next.

    For a folder of your own that params.yaml names already, only what the folder says is set anew; your other settings
    stay. `use scenes`, `use flickr8k` and `use starter` always restore the preset.

    For example:

    - `captiongen use scenes` : the drawn sample, trained in minutes
    - `captiongen use flickr8k` : 8,091 photographs
    - `captiongen use ~/my-photos` : your own; the folder is looked through for a table or COCO JSON
    - `captiongen use flickr8k --encoder tf_efficientnet_lite2 --weights lite2.safetensors`
    - `captiongen use flickr8k --decoder distilgpt2`
    - `captiongen use starter --weights lite2.safetensors` : what `make starter` begins with
    """
    from captiongen.cli.presets import PRESETS, read_preset, write_params

    layout = Layout()
    raw = RawData(layout)
    changes: dict[str, object] = {}
    _refuse_unknown_encoder(encoder)
    fetch_command = "captiongen fetch"
    if what not in PRESETS:
        folder = _own_folder(what, PRESETS)
        changes |= _settings_of(folder, raw, name)
        fetch_command += f" {shlex.quote(what)}" + (f" --name {shlex.quote(name)}" if name else "")
    keeps_settings = _is_configured(layout, changes)
    preset = what if what in PRESETS else "flickr8k"
    former = (load_params(layout.params) if keeps_settings else read_preset(preset)).train.encoder
    if encoder is not None:
        changes["train.encoder.name"] = encoder
        if keeps_settings or former.weights_sha256:  # the file of another encoder does not fit
            changes |= {"train.encoder.weights": "hub", "train.encoder.weights_sha256": None}
    if weights is not None:
        _need_fitting(weights, former, encoder or former.name)
        path, sha256 = raw.fetch_weights(weights, encoder or former.name)
        changes |= {"train.encoder.weights": path.as_posix(), "train.encoder.weights_sha256": sha256}
    if decoder is not None:
        changes |= _settings_of_decoder(raw, decoder)
    differences = write_params(layout.params, preset, changes, keeps_settings=keeps_settings)
    how = "your other settings stay" if keeps_settings else f"from the preset {preset}, own settings are reset"
    typer.echo(
        "\n".join([f"{layout.params} is rewritten; {how}:", *(f"  {line}" for line in differences)])
        if differences
        else f"{layout.params} says so already."
    )
    _tell_next(load_params(layout.params), what, fetch_command)


def _tell_next(params: Params, what: str, fetch_command: str) -> None:
    """Says what to run now that params.yaml is as it should be."""
    if params.train.encoder.weights == "hub":
        typer.echo(
            f"The first training downloads the weights of {params.train.encoder.name} from the Hugging Face hub. Where "
            f"it is out of reach: captiongen use {shlex.quote(what)} --encoder MODEL --weights FILE.safetensors"
        )
    steps = [fetch_command]
    if params.train.encoder.weights_sha256 and not Path(params.train.encoder.weights).is_file():
        steps.append(f"captiongen fetch weights FILE --name {shlex.quote(Path(params.train.encoder.weights).stem)}")
    commit = f"git add -A && git commit -m {shlex.quote(f'Switch to {params.ingest.name}')}"
    steps += [commit, "dvc repro", "captiongen release"]
    typer.echo("\n".join(["Next:", *(f"  {step}" for step in steps)]))


def _refuse_stray_options(what: str | None, options: dict[str, tuple[object, str]]) -> None:
    for option, (value, owner) in options.items():
        if value is not None and what != owner:
            raise UsageError(f"{option} goes with `captiongen fetch {owner}`, found `fetch {what or ''}`.")


def _refuse_unknown_encoder(name: str | None) -> None:
    if name is None:
        return
    import timm

    if not timm.is_model(name):
        similar = ", ".join(timm.list_models(f"{name[:4]}*")[:6]) or "resnet18, convnext_nano, ..."
        raise UsageError(f"Expected the name of a timm model as --encoder, found {name!r}. Some: {similar}")


def _need_fitting(weights: Path, params: EncoderParams, name: str) -> None:
    """Refuses a file that `captiongen train` would refuse, before anything is written; raises EncoderError."""
    from captiongen.model.encoder import build_encoder

    of_file = {"name": name, "weights": str(weights.expanduser()), "weights_sha256": None}
    build_encoder(params.model_copy(update=of_file))


def _is_configured(layout: Layout, changes: Mapping[str, object]) -> bool:
    """Whether params.yaml stands for this folder of one's own already."""
    try:
        params = load_params(layout.params).ingest
    except ParamsError:
        return False
    found = {"ingest.source": params.source, "ingest.path": params.path, "ingest.name": params.name}
    return bool(changes) and found.items() <= changes.items()


def _own_folder(what: str, known: Sequence[str]) -> Path:
    """The folder that is meant; where there is none, the `known` names are told."""
    folder = Path(what).expanduser()
    if not folder.is_dir():
        similar = get_close_matches(what, known, n=1)
        hint = f" Did you mean {similar[0]!r}?" if similar else ""
        raise UsageError(
            f"Expected {', '.join(known)}, or the path of a folder with pictures and captions; found {what!r}, which "
            f"is no folder here.{hint}"
        )
    return folder


def _fetch_configured(raw: RawData, layout: Layout) -> None:
    params = load_params(layout.params).ingest
    folder = layout.root / params.path
    if params.source == "scenes":
        raw.fetch_scenes(folder)
    elif params.source == "flickr8k":
        raw.fetch_flickr8k(folder)
    elif folder.is_dir():
        raw.record(folder)
    else:
        raise SourceError(
            f"{params.name} should lie in {folder}, but there is nothing. Run `captiongen fetch PATH` with the folder "
            "that holds your pictures and captions, or `dvc pull` where somebody has pushed it."
        )


def _settings_of_decoder(raw: RawData, source: str) -> dict[str, object]:
    """What params.yaml must say for a decoder that begins with this language model; a folder is imported."""
    from captiongen.model.pretrained import pretrained_decoder_params
    from captiongen.text.pretrained import pretrained_files

    folder, sha256 = Path(source).expanduser(), None
    if folder.is_dir():
        place, sha256 = raw.fetch_language_model(folder)
        source = place.as_posix()
    config = pretrained_files(source, sha256, key="--decoder")["config.json"]
    decoder = {**pretrained_decoder_params(config), "weights": source, "weights_sha256": sha256}
    tokenizer = {"kind": "pretrained", "source": source, "sha256": sha256}
    return {f"train.decoder.{key}": value for key, value in decoder.items()} | {
        f"preprocess.tokenizer.{key}": value for key, value in tokenizer.items()
    }


def _settings_of(folder: Path, raw: RawData, name: str | None) -> dict[str, object]:
    """What params.yaml must say for the folder, once it is fetched; tells what was found."""
    from captiongen.data.folder_format import detect_format, survey_folder
    from captiongen.data.folder_import import imported_format

    place = raw.place_of(folder, name)
    found = detect_format(folder)
    survey = survey_folder(found.ingest_params(path=str(folder), name=place.name), folder)
    typer.echo(_describe(folder, found, survey))
    settings = (found if place.resolve() == folder.resolve() else imported_format(found)).settings
    return {
        "ingest.source": found.source,
        "ingest.path": place.as_posix(),
        "ingest.name": place.name,
        f"ingest.{found.source}": dict(settings),
        "validate.captions_per_image": survey.captions_per_image,
        # Half of the words that are there: less would mean that the columns were swapped or the file cut off.
        "validate.min_vocabulary": max(survey.vocabulary_size // 2, 1),
    }


def _describe(folder: Path, found: "FolderFormat", survey: "Survey") -> str:
    each = survey.captions_per_image or f"{survey.num_captions / survey.num_images:.1f} on average"
    splits = ", ".join(f"{split} {count:,}" for split, count in sorted(survey.split_counts.items()))
    lines = [
        f"{folder}: {'a table' if found.source == 'table' else 'COCO captions'} in {', '.join(found.files)}, "
        f"pictures in {found.lies_in or found.images}",
        f"  {survey.num_images:,} images ({splits}), {survey.num_captions:,} captions ({each} an image)",
        *(f"  {remark}" for remark in found.remarks),
    ]
    lines += [f"  {remark}" for remark in (*_tell_rejected(survey), *_tell_too_few(survey))]
    return "\n".join(lines)


def _tell_rejected(survey: "Survey") -> Iterator[str]:
    if not (rejections := survey.rejections):
        return
    first = ", ".join(f"{one.image_id} ({one.reason})" if one.image_id else one.reason for one in rejections[:3])
    more = f" and {len(rejections) - 3:,} more" if len(rejections) > 3 else ""
    yield f"{len(rejections):,} entries cannot go on: {first}{more}; `captiongen ingest` lists them in quarantine"


def _tell_too_few(survey: "Survey") -> Iterator[str]:
    if empty := [split for split in ("train", "dev", "test") if not survey.split_counts.get(split)]:
        yield f"no image in {', '.join(empty)}: `dvc repro` will stop for that; add pictures, or a column `split`"
    if survey.num_images < _FEW_IMAGES:
        yield (
            f"fewer than {_FEW_IMAGES} images: enough to try the chain, too few to learn captions from, and figures of "
            "so small a test split say little"
        )
