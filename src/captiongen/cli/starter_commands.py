"""The starter: a small captioner that comes with the repository, for captions before any training."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from captiongen.cli.layout import Layout
from captiongen.cli.model_uri import starter_folder
from captiongen.errors import UsageError
from captiongen.files import atomic_folder
from captiongen.params import EvaluateParams, load_params

if TYPE_CHECKING:
    from collections.abc import Iterable

    from captiongen.adapters.mlflow_registry import RegisteredVersion
    from captiongen.evaluation import Evaluation
    from captiongen.model.checkpoint import CaptionerManifest
    from captiongen.types import CaptionedImage

app = typer.Typer(rich_markup_mode="markdown")

NAME = "captiongen-starter"
#: A repository carries every version of it for ever.
MAX_BYTES = 20_000_000
_CARD = """# The starter

A captioner for photographs right after set-up, with no training and no model hub:
`captiongen caption PHOTO --model starter`, or `make serve-starter` for the page and `POST /caption`.
[docs/model_card.md](../../docs/model_card.md) says what it is for and what it gets wrong,
[docs/starter.md](../../docs/starter.md) how it was made and how to put another one in its place.

| | |
|---|---|
| made of | `{version}`, by `captiongen make-starter` |
| encoder | {encoder} |
| decoder | {num_layers} layers, {width} wide, {num_words:,} words |
| reranker | {reranker} |
| stored | {megabytes:.1f} MB: the encoder as float16, other matrices as int8; safetensors, sha256 `{sha256}` |
| trained on | {dataset}, data hash `{data_hash}` |
| data licence | see {dataset} in [docs/data_card.md](../../docs/data_card.md) |

Measured on the test split, with these very bytes:

```text
{report}
```
Storing it so changed {num_changed} of {num_captions} captions.
"""


@app.command(
    "make-starter",
    rich_help_panel="Release",
    epilog="Example: `captiongen make-starter --model models:/captiongen@champion && git add models/starter`",
)
def make_starter(
    model: Annotated[
        str | None, typer.Option(help="models:/NAME@ALIAS or models:/NAME/VERSION; by default the champion.")
    ] = None,
) -> None:
    """Makes a registered captioner the one that comes with the repository: models/starter, 20 MB at most.

    Its weights are stored as float16 and int8, captioned and scored again as stored, and its card is written.
    """
    from captiongen.adapters.mlflow_registry import ModelRegistry, find_version
    from captiongen.data.captions_table import read_captions

    layout = Layout()
    params = load_params(layout.params)
    version = find_version(model or f"models:/{params.release.model_name}@champion", project=layout.root)
    files = ModelRegistry(layout.root, version.name, must_exist=True).download(version)
    before = read_captions(files.evaluation / "captions.parquet")
    with atomic_folder(layout.starter) as part:
        manifest = _write_small(part, files.captioner)
        _need_small(part)
        evaluation = _caption_test_split(part, layout, params.evaluate)
        _write_release(part, version, manifest.weights_sha256)
        card = _card(part, manifest, evaluation, version.uri, _num_changed(before, evaluation.captions))
        (part / "README.md").write_text(card, encoding="utf-8")
    typer.echo(f"{layout.starter}: {_megabytes(layout.starter):.1f} MB; its card is README.md. Commit the folder.")


def starter_bento(layout: Layout) -> str:
    """Packages the starter, once, and returns the tag of its Bento.

    Raises:
        UsageError: it is not there.
        CheckpointError: it is damaged.
    """
    from captiongen.adapters.bento_packaging import package
    from captiongen.model.release import read_release

    folder = starter_folder(layout.root)
    release = read_release(folder)
    return package(
        folder,
        release.lineage,
        model_name=release.name,
        version=release.version,
        project=layout.root.resolve(),
    )


def _write_small(folder: Path, captioner: Path) -> "CaptionerManifest":
    from captiongen.model.checkpoint import load_captioner, write_captioner

    loaded = load_captioner(captioner)
    facts = loaded.manifest.model_dump()
    return write_captioner(folder, loaded.captioner, loaded.tokenizer, facts, storage="small")


def _need_small(folder: Path) -> None:
    if (found := _megabytes(folder)) * 1e6 > MAX_BYTES:
        raise UsageError(
            f"Expected a captioner of {MAX_BYTES / 1e6:.0f} MB at most once it is stored small, found {found:.1f} MB: "
            "the repository carries it for ever. Train one with a smaller encoder, or a lower width, num_layers or "
            "feedforward_factor under train.decoder."
        )


def _caption_test_split(folder: Path, layout: Layout, params: EvaluateParams) -> "Evaluation":
    """Captions and scores the test split with a captioner that was trained on the data that lie here."""
    from captiongen.data.shards import open_processed
    from captiongen.evaluation import Evaluation, score_split
    from captiongen.inference import CaptionEngine, caption_split

    engine, data = CaptionEngine.load(folder), open_processed(layout.processed)
    if (found := data.data_hash) != engine.manifest.data_hash:
        raise UsageError(
            f"Expected the data that the model was trained on ({engine.manifest.dataset} "
            f"{engine.manifest.data_hash[:8]}) in {layout.processed}, found {data.dataset} {found[:8]}: its test split "
            "would not be held out. Switch to them with `captiongen use`, then `dvc repro`."
        )
    captions = tuple(caption_split(engine, data, "test", batch_size=params.batch_size))
    return Evaluation(captions, score_split(captions, engine.manifest, params, split_hash=data.split_hashes["test"]))


def _write_release(folder: Path, version: "RegisteredVersion", weights_sha256: str) -> None:
    from captiongen.model.release import RELEASE_FILE, Release

    release = Release(name=NAME, version=version.version, lineage=replace(version.lineage, model_sha256=weights_sha256))
    (folder / RELEASE_FILE).write_text(release.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _card(folder: Path, manifest: "CaptionerManifest", evaluation: "Evaluation", version: str, num_changed: int) -> str:
    from captiongen.metrics.report import format_report

    decoder = manifest.decoder
    return _CARD.format(
        version=version,
        encoder=manifest.encoder.name,
        num_layers=decoder.num_layers,
        width=decoder.width,
        num_words=manifest.vocabulary_size,
        reranker=_describe_reranker(manifest),
        megabytes=_megabytes(folder),
        sha256=manifest.weights_sha256,
        dataset=manifest.dataset,
        data_hash=manifest.data_hash,
        report=format_report(evaluation.report),
        num_changed=num_changed,
        num_captions=len(evaluation.captions),
    )


def _describe_reranker(manifest: "CaptionerManifest") -> str:
    if manifest.reranker is None:
        return "none"
    return (
        f"a matcher, and the captions of the training pictures, as words, of which {manifest.reranker.num_neighbours} "
        "pictures are asked"
    )


def _num_changed(before: "Iterable[CaptionedImage]", after: "Iterable[CaptionedImage]") -> int:
    captions = {row.image_id: row.hypotheses[0].caption for row in before}
    return sum(row.hypotheses[0].caption != captions.get(row.image_id) for row in after)


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6
