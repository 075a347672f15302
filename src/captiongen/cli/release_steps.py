"""The steps of a release, in their order; `captiongen release` and flows/release.py call them.

Each is keyed by what it releases: called again for the same model of the same lineage it changes nothing. So a release
that was cut off anywhere is finished by starting it again.
"""

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from captiongen.adapters.lineage import read_lineage
from captiongen.cli.layout import Layout
from captiongen.errors import ReleaseRefused, ServiceError
from captiongen.params import Params
from captiongen.types import JsonObject, Lineage

if TYPE_CHECKING:
    from captiongen.adapters.git_state import GitState
    from captiongen.adapters.mlflow_registry import ModelRegistry, RegisteredVersion
    from captiongen.cli.release_gate import Verdict
    from captiongen.types import CaptionedImage, MetricsReport

GATE_TAG, BENTO_TAG, SMOKE_TAG = "captiongen.gate", "captiongen.bento", "captiongen.smoke_test"


@dataclass(frozen=True, slots=True)
class Candidate:
    """The model in the working tree, with what a release needs to know of it."""

    lineage: Lineage
    report: "MetricsReport"
    captions: tuple["CaptionedImage", ...]


def find_finished(layout: Layout, params: Params) -> "RegisteredVersion | None":
    """Returns the champion if it is the model of the working tree, served by its code; None otherwise.

    Its Bento must carry the code that is here now, stand in the store and have been tried out. Other uncommitted
    changes do not matter: there is nothing to release.
    """
    from captiongen.adapters.bento_packaging import bento_tag
    from captiongen.adapters.mlflow_registry import release_key
    from captiongen.adapters.mlflow_store import has_database

    if not has_database(layout.root):  # nor is an empty one made by asking
        return None
    champion = _registry(layout, params).champion()
    if champion is None or SMOKE_TAG not in champion.tags:
        return None
    lineage = replace(read_lineage(layout.root, layout.model), is_dirty=champion.lineage.is_dirty)
    if release_key(lineage) != release_key(champion.lineage):
        return None
    tag = bento_tag(champion.lineage, model_name=champion.name, version=champion.version, project=layout.root)
    is_tried = champion.tags[SMOKE_TAG].startswith(f"{tag}: ") and champion.tags.get(BENTO_TAG) == tag
    return champion if is_tried and _has_bento(tag, layout) else None


def inspect_candidate(layout: Layout, params: Params, *, allow_dirty: bool = False) -> Candidate:
    """Reads what is to be released, and refuses what could not be traced afterwards.

    Raises:
        SourceError: the folder of the data set is missing.
        ServiceError: stages are stale.
        ReleaseRefused: the evaluation is not of the test split, or code or params differ from the
            commit (unless `allow_dirty`), or there is no commit.
    """
    from captiongen.adapters.dvc_pipeline import DvcPipeline
    from captiongen.adapters.git_state import read_git_state
    from captiongen.data.captions_table import read_captions, read_facts
    from captiongen.data.sources import need_folder
    from captiongen.metrics.report import read_report

    if params.evaluate.split != "test":
        raise ReleaseRefused(
            f"Expected an evaluation on the test split, found evaluate.split: {params.evaluate.split} in params.yaml. "
            "By that split the best epoch was chosen, so it flatters the model: set it to test and run `dvc repro`."
        )
    if not allow_dirty:
        _refuse_dirty(read_git_state(layout.root))
    need_folder(params.ingest, layout.root / params.ingest.path)
    DvcPipeline(layout.root).check_complete()
    lineage = read_lineage(layout.root, layout.model)
    captions = layout.evaluation / "captions.parquet"
    if (evaluated := read_facts(captions).get("model_sha256")) != lineage.model_sha256:
        raise ReleaseRefused(
            f"Expected an evaluation of model {lineage.model_sha256[:12]}, found one of {evaluated}. Run `dvc repro`."
        )
    return Candidate(lineage, read_report(layout.evaluation / "metrics.json"), tuple(read_captions(captions)))


def register(layout: Layout, params: Params, candidate: Candidate) -> "RegisteredVersion":
    """Registers the candidate and, unless it is in service already, lets `challenger` rest on it."""
    from captiongen.adapters.mlflow_registry import CHALLENGER
    from captiongen.cli.model_run import run_of_model

    registry = _registry(layout, params)
    with run_of_model(layout) as run:
        lineage = replace(candidate.lineage, run_id=run.run_id)
    with registry.exclusive():
        version = registry.register(
            layout.model,
            lineage,
            evaluation_folder=layout.evaluation,
            metrics={name: metric.value for name, metric in candidate.report.metrics.items()},
            example_image=held_out_picture(layout, params),
        )
        champion = registry.champion()
        if champion is None or champion.version != version.version:
            registry.set_alias(CHALLENGER, version.version)
    return version


def judge(layout: Layout, params: Params, candidate: Candidate, version: "RegisteredVersion") -> "Verdict":
    """Holds a version against the present champion, on the same test split; the verdict is kept with the version.

    Where the champion was not evaluated on this very split, it captions it first. A version that somebody made champion
    by hand is judged as a first one.

    Raises:
        ReleaseRefused: the version may not become champion; the message has the figures.
    """
    from captiongen.cli.release_gate import Verdict, judge_against, judge_first, name_data_sets

    registry = _registry(layout, params)
    champion = registry.champion()
    if champion is not None and champion.version == version.version:
        if (kept := champion.tags.get(GATE_TAG)) is not None:
            return Verdict(**json.loads(kept))
        champion = None  # made champion by hand: the gate is asked now
    cider = candidate.report.metrics["cider"]
    if champion is None:
        verdict = judge_first(cider, candidate.report.signature.num_images, params.release)
    else:
        captions = _captions_of(champion, registry, layout, params, candidate)
        verdict = judge_against(champion.version, candidate.captions, captions, params.release, cider=cider)
        verdict = name_data_sets(verdict, candidate.lineage, champion.lineage)
    registry.set_tags(version.version, {GATE_TAG: json.dumps(asdict(verdict), sort_keys=True)})
    if not verdict.is_passed:
        raise ReleaseRefused(
            f"{version.name} version {version.version} stays challenger. {verdict.describe()} Look at what it writes: "
            f"`captiongen caption PHOTO --model models:/{version.name}@challenger`. Train a better one, or loosen "
            f"{' and '.join(verdict.missed())} in params.yaml."
        )
    return verdict


def promote(
    layout: Layout, params: Params, candidate: Candidate, version: "RegisteredVersion", verdict: "Verdict"
) -> "Verdict":
    """Makes a version champion; where another became champion since the verdict, it is held against that one first.

    Returns:
        The verdict that let it in.

    Raises:
        ReleaseRefused: as `judge`.
    """
    from captiongen.adapters.mlflow_registry import CHALLENGER, CHAMPION

    registry = _registry(layout, params)
    with registry.exclusive():
        champion = registry.champion()
        present = champion.version if champion is not None else ""
        if present not in (verdict.against, version.version):
            verdict = judge(layout, params, candidate, version)
        registry.set_alias(CHAMPION, version.version)
        challenger = registry.by_alias(CHALLENGER)
        if challenger is not None and challenger.version == version.version:
            registry.remove_alias(CHALLENGER)
    return verdict


def package(layout: Layout, params: Params, version: "RegisteredVersion") -> str:
    """Builds the Bento of a version, from the files that the registry holds; returns its tag."""
    from captiongen.adapters.bento_packaging import package as build

    registry = _registry(layout, params)
    files = registry.download(version)
    tag = build(
        files.captioner,
        version.lineage,
        model_name=version.name,
        version=version.version,
        project=layout.root.resolve(),
    )
    registry.set_tags(version.version, {BENTO_TAG: tag})
    return tag


def smoke_test(layout: Layout, params: Params, version: "RegisteredVersion", bento_tag: str) -> JsonObject:
    """Serves the Bento once and has it caption a held-out picture; returns its answer."""
    from captiongen.adapters.bento_packaging import smoke_test as ask

    answer = ask(bento_tag, held_out_picture(layout, params), project=layout.root.resolve())
    _registry(layout, params).set_tags(version.version, {SMOKE_TAG: f"{bento_tag}: {answer['caption']}"})
    return answer


def held_out_picture(layout: Layout, params: Params) -> bytes:
    """Returns the first picture of the evaluated split, as PNG."""
    from captiongen.data.shards import open_processed

    return next(open_processed(layout.processed).rows(params.evaluate.split)).image_png


def _captions_of(
    champion: "RegisteredVersion", registry: "ModelRegistry", layout: Layout, params: Params, candidate: Candidate
) -> "tuple[CaptionedImage, ...]":
    """The champion's captions of the challenger's split: recorded ones where the split is the same, or new ones."""
    from captiongen.cli.split_captions import caption_split_with
    from captiongen.data.captions_table import read_captions, read_facts

    files = registry.download(champion)
    recorded = files.evaluation / "captions.parquet"
    if read_facts(recorded).get("split_hash") == candidate.report.signature.split_hash:
        return tuple(read_captions(recorded))
    return tuple(caption_split_with(files.captioner, layout, params, params.evaluate.split))


def _refuse_dirty(git: "GitState") -> None:
    if not git.sha:
        raise ReleaseRefused(
            "Expected the project in a git commit, so that the model's code can be named; found none. "
            "Commit it, or mark the release as an experiment with --allow-dirty."
        )
    if git.changed:
        more = f" and {len(git.changed) - 5} more" if len(git.changed) > 5 else ""
        named = ", ".join(git.changed[:5]) + more
        raise ReleaseRefused(
            f"Expected the tree to be what is committed (dvc.lock aside), found changes in {named}. "
            "Commit them and run `dvc repro`, or mark the release as an experiment with --allow-dirty."
        )


def _has_bento(tag: str, layout: Layout) -> bool:
    from captiongen.adapters.bento_packaging import bento_model_folder

    try:
        return bento_model_folder(tag, project=layout.root).is_dir()
    except ServiceError:
        return False


def _registry(layout: Layout, params: Params) -> "ModelRegistry":
    from captiongen.adapters.mlflow_registry import ModelRegistry

    return ModelRegistry(layout.root, params.release.model_name)
