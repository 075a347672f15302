"""The DVC stages as commands: `dvc.yaml` calls exactly these, in this order."""

import resource
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from captiongen.cli.layout import Layout
from captiongen.cli.model_run import log_analysis, log_evaluation, log_inputs, log_training, run_of_model
from captiongen.cli.parent_process import end_with_dvc
from captiongen.errors import UsageError, ValidationFailed
from captiongen.params import load_params
from captiongen.text.printable import printable
from captiongen.types import Split, ValidationReport

if TYPE_CHECKING:
    from captiongen.stages.analyse import AnalysisResult

app = typer.Typer(rich_markup_mode="markdown")
_PANEL = "Stages (dvc.yaml)"
#: Below this a captioner says the same of every picture, or nothing that fits.
_USELESS_CIDER = 5.0


@app.command(rich_help_panel=_PANEL)
def ingest() -> None:
    """Lists every image and caption of the data set in one manifest.

    Example: `captiongen ingest`, or through DVC, which keeps the result: `dvc repro ingest`.
    """
    from captiongen.stages.ingest import ingest as run

    layout = Layout()
    params = load_params(layout.params)
    with _measured("ingest"):
        result = run(params.ingest, source_folder=layout.root / params.ingest.path, out_folder=layout.interim)
    typer.echo(str(result))


@app.command(rich_help_panel=_PANEL)
def validate() -> None:
    """Holds the manifest against the data contract; exits with 4 when it is broken.

    What was found stands in reports/validation/docs/index.html.

    Example: `captiongen validate`, or through DVC, which keeps the result: `dvc repro validate`.
    """
    from captiongen.adapters.expectations import GreatExpectationsContract
    from captiongen.data.validation_report import read_validation
    from captiongen.stages.validate import validate as run

    layout = Layout()
    params = load_params(layout.params)
    with _measured("validate"):
        try:
            report = run(
                params.validate_,
                manifest=layout.interim / "manifest.parquet",
                out_folder=layout.validation,
                contract=GreatExpectationsContract(),
            )
        except ValidationFailed:
            _say_warnings(read_validation(layout.validation / "validation.json"))
            raise
    _say_warnings(report)
    typer.echo(f"The data of {report.num_images:,} images fulfil the contract of {report.num_checks} expectations.")


def _say_warnings(report: ValidationReport) -> None:
    for finding in report.findings:
        if finding.severity == "warning":
            typer.echo(f"warning: {finding.check}: {finding.message}")


@app.command(rich_help_panel=_PANEL)
def preprocess() -> None:
    """Resizes images into shards, trains the tokenizer, draws the data card (reports/data_card/index.html).

    Corrections that were accepted (`captiongen corrections`) are made to the train split first.

    Example: `captiongen preprocess`, or through DVC, which keeps the result: `dvc repro preprocess`.
    """
    from captiongen.stages.preprocess import preprocess as run

    layout = Layout()
    params = load_params(layout.params)
    with _measured("preprocess"):
        result = run(
            params.preprocess,
            ingest=params.ingest,
            manifest=layout.interim / "manifest.parquet",
            validation_report=layout.validation / "validation.json",
            source_folder=layout.root / params.ingest.path,
            corrections=layout.corrections,
            near_duplicate_distance=params.validate_.near_duplicate_distance,
            out_folder=layout.processed,
            card_folder=layout.data_card,
        )
    typer.echo(", ".join(f"{split} {count:,} images" for split, count in sorted(result.counts.items())))


@app.command(rich_help_panel=_PANEL)
def train() -> None:
    """Trains the captioner; a killed run goes on from the last finished epoch.

    With CAPTIONGEN_NUM_PROCESSES=2 in the environment two processes share each batch; so they do under torchrun.

    Example: `captiongen train`, or through DVC, which keeps the result: `dvc repro train`.
    """
    from captiongen.cli.training_processes import joined_processes, start_processes

    if start_processes("train"):
        return
    with joined_processes():
        _train()


def _train() -> None:
    """Trains in this process: the first of those that train together is the one that tracks, writes and tells."""
    from captiongen.adapters.mlflow_tracking import open_run
    from captiongen.stages.train import train as stage
    from captiongen.training.identity import name_of_unfinished
    from captiongen.training.processes import is_first

    layout = Layout()
    params = load_params(layout.params)
    run = partial(
        stage,
        params.train,
        data_folder=layout.processed,
        out_folder=layout.model,
        report_folder=layout.training,
        state_folder=layout.state,
    )
    if not is_first():
        run()
        return
    with _measured("train"):
        unfinished = name_of_unfinished(params.train, data_folder=layout.processed, state_folder=layout.state)
        with open_run(layout.root, name=f"train {params.ingest.name}", unfinished=unfinished) as tracker:
            log_inputs(tracker, layout.root)
            result = run(tracker=tracker)
            log_training(tracker, result.trained.history)
    trained = result.trained
    typer.echo(f"best epoch {trained.best_epoch} of {len(trained.history)}: dev CIDEr {trained.best_cider:.1f}")
    if trained.best_cider < _USELESS_CIDER:
        typer.echo(
            "warning: these captions have next to nothing to do with the pictures. Train longer, on more pictures, or "
            "with a pretrained encoder (train.encoder.weights)."
        )


@app.command(rich_help_panel=_PANEL)
def evaluate() -> None:
    """Captions the held-out split and scores it, with intervals, human ceiling and floor.

    Example: `captiongen evaluate`, or through DVC, which keeps the result: `dvc repro evaluate`.
    """
    from captiongen.metrics.report import format_report
    from captiongen.stages.evaluate import evaluate as run

    layout = Layout()
    params = load_params(layout.params)
    with _measured("evaluate"):
        result = run(
            params.evaluate, model_folder=layout.model, data_folder=layout.processed, out_folder=layout.evaluation
        )
        with run_of_model(layout) as tracker:
            log_evaluation(tracker, result.report, params.evaluate.split)
            tracker.log_file(layout.evaluation, folder="evaluation")
    typer.echo(format_report(result.report))


@app.command(rich_help_panel=_PANEL)
def analyse(
    model: Annotated[
        str | None, typer.Option(help="Another model than the stage's: models:/NAME@ALIAS or /VERSION, or a folder.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="With --model: train, dev or test.")] = None,
    against: Annotated[
        str | None, typer.Option(help="With --model: a model to compare with, such as models:/captiongen@champion.")
    ] = None,
) -> None:
    """Ranks the captions, names and prices their errors, finds where they are (reports/analysis/index.html).

    Without options it is the stage, which DVC keeps: `dvc repro analyse`. With --model it captions the split first, and
    the page goes to .captiongen/analysis and to the model's MLflow run. The split is dev unless --split says otherwise.

    Example: `captiongen analyse --model models:/captiongen@challenger --against models:/captiongen@champion`
    """
    from captiongen.stages.analyse import analyse as run

    layout = Layout()
    params = load_params(layout.params)
    if model is not None:
        from captiongen.cli.analysis_steps import analyse_model

        with _measured("analyse"):
            _tell_worst(analyse_model(layout, params, uri=model, split=_split(split), against=against).result)
        return
    if split is not None or against is not None:
        raise UsageError(
            "Expected --model beside --split and --against, found none. Without --model this is the stage."
        )
    with _measured("analyse"):
        result = run(
            params.analyse,
            model_folder=layout.model,
            evaluation_folder=layout.evaluation,
            data_folder=layout.processed,
            manifest=layout.interim / "manifest.parquet",
            split=params.evaluate.split,
            state_folder=layout.state,
            out_folder=layout.analysis,
            proposals=layout.corrections.proposals("analysis"),
        )
        with run_of_model(layout) as tracker:
            log_analysis(tracker, result, layout.processed, params.evaluate.split)
    _tell_worst(result)


@app.command(rich_help_panel=_PANEL)
def audit() -> None:
    """Finds wrong captions in the data (reports/audit/index.html), and proposes corrections of the train split.

    Example: `captiongen audit`, or through DVC, which keeps the result: `dvc repro audit`.
    """
    from captiongen.stages.audit import audit as run

    layout = Layout()
    params = load_params(layout.params)
    with _measured("audit"):
        result = run(
            params.audit,
            model_folder=layout.model,
            data_folder=layout.processed,
            interim_folder=layout.interim,
            validation_report=layout.validation / "validation.json",
            state_folder=layout.state,
            out_folder=layout.audit,
            proposals=layout.corrections.proposals("audit"),
        )
        with run_of_model(layout) as tracker:
            tracker.log_file(layout.audit, folder="audit")
    for split, found in result.audits.items():
        counts = Counter(one.kind.value for one in found.suspects)
        if counts:
            typer.echo(f"{split}: " + ", ".join(f"{count:,} {kind}" for kind, count in counts.most_common()))
        if found.note:
            typer.echo(f"{split}: {found.note}")
    for line in result.pictures:
        typer.echo(printable(line))
    typer.echo(f"{result.num_proposals:,} corrections proposed; what was found: {result.page}")


def _split(name: str | None) -> Split:
    splits: dict[str | None, Split] = {None: "dev", "train": "train", "dev": "dev", "test": "test"}
    if name not in splits:
        raise UsageError(f"Expected --split train, dev or test, found {name!r}.")
    return splits[name]


def _tell_worst(result: "AnalysisResult") -> None:
    findings = result.findings
    for place, one in enumerate(findings.captions[:3], start=1):
        image = one.judged.image
        said = f"{image.image_id}, badness {one.judged.badness:.2f}: {image.hypotheses[0].caption}"
        typer.echo(f"worst {place}: {printable(said)}")
    priced = [(cost.type.value, cost.gain.mean) for cost in findings.costs if cost.type and cost.gain]
    if priced:
        typer.echo("CIDEr gained if mended: " + ", ".join(f"{name} {gain:+.1f}" for name, gain in priced[:5]))
    if findings.slices.worse:
        typer.echo("worse than the rest: " + "; ".join(one.name for one in findings.slices.worse[:5]))
    if findings.comparison:
        typer.echo(f"against the other model: {findings.comparison}")
    typer.echo(f"all {len(findings.captions):,} captions by badness: {result.page}")


@contextmanager
def _measured(stage: str) -> Iterator[None]:
    """Ties the stage to its DVC, and says at the end what it cost."""
    end_with_dvc()
    started = time.monotonic()
    yield
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    typer.echo(f"{stage}: {time.monotonic() - started:.0f} s, peak memory {peak_bytes / 2**30:.2f} GiB")
