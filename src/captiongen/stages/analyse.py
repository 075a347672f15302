"""The stage `analyse`: judge what `evaluate` captioned, name and price the errors, find where they are, and show it."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from captiongen.analysis.errors.corpus import CaptionCorpus
from captiongen.analysis.errors.fact_reader import FactReader
from captiongen.analysis.findings import Findings, ImageFacts, find_all
from captiongen.analysis.inspection import Inspection, inspect_captions, nearest_training_images
from captiongen.analysis.label_studio import labelling_config, labelling_tasks
from captiongen.analysis.report import render_page
from captiongen.analysis.slicing.pictures import EmbeddedPicture, embed_picture, embed_thumbnail, measure_picture
from captiongen.analysis.slicing.proposals import propose_weights
from captiongen.analysis.tables import SUMMARY_FILE, WORST_FILE, summarise, worst_table
from captiongen.data.captions_table import read_captions, read_facts
from captiongen.data.corrections import write_proposals
from captiongen.data.manifest import read_manifest
from captiongen.data.shards import ProcessedData, decode_row_image, open_processed
from captiongen.errors import DataError
from captiongen.files import atomic_folder
from captiongen.metrics.report import read_report
from captiongen.model.checkpoint import LoadedCaptioner, load_captioner
from captiongen.params import AnalyseParams
from captiongen.training.inputs import load_features, pool
from captiongen.types import CaptionedImage, MetricsReport, Split

PAGE_FILE, TASKS_FILE, CONFIG_FILE = "index.html", "label_studio.json", "label_studio.xml"


@dataclass(frozen=True, slots=True)
class AnalysisResult:
    """What was found, and where it is shown."""

    findings: Findings
    page: Path


def analyse(
    params: AnalyseParams,
    *,
    model_folder: Path,
    evaluation_folder: Path,
    data_folder: Path,
    manifest: Path,
    split: Split,
    state_folder: Path,
    out_folder: Path,
    proposals: Path | None = None,
    rival: Path | None = None,
) -> AnalysisResult:
    """Finds what is wrong with the captions of a split; writes a page, a table, a summary and Label Studio's tasks.

    Args:
        params: the section `analyse`.
        model_folder: the captioner that wrote the captions.
        evaluation_folder: what `evaluate` wrote.
        data_folder: what `preprocess` wrote, for the pictures.
        manifest: what `ingest` wrote, for the pictures' shapes.
        split: the split that was evaluated.
        state_folder: its cache keeps the encoder's features; safe to delete between runs.
        out_folder: replaced as a whole.
        proposals: receives what the next training might do better; None where nobody asked.
        rival: another model's captions.parquet of the same split, to compare with.

    Raises:
        DataError: captions, metrics, model and data do not belong together.
        CheckpointError: the model is missing or damaged.
        ShardError: a file is missing or damaged.
    """
    captions_file = evaluation_folder / "captions.parquet"
    data, loaded = open_processed(data_folder), load_captioner(model_folder)
    report = read_report(evaluation_folder / "metrics.json")
    _require_same(read_facts(captions_file), data, loaded, split, report.signature.split_hash)
    images = _in_order(read_captions(captions_file), data, split)
    pictures = _pictures(data, split)
    inspections, pooled = _inspect(images, loaded, data, split, cache=state_folder / "cache")
    aspects = _aspects(manifest)
    facts = [
        ImageFacts(inspection, features, pictures[image.image_id].facts, aspects.get(image.image_id, math.nan))
        for image, inspection, features in zip(images, inspections, pooled, strict=True)
    ]
    reader = FactReader()
    training = data.references("train")
    corpus = CaptionCorpus.of(training, reader)
    findings = find_all(
        images,
        report,
        facts,
        corpus,
        reader=reader,
        embedder=None if (matcher := loaded.captioner.matcher) is None else matcher.embed,
        rival=_rival_captions(rival, images),
    )
    nearest = {one.facts.inspection.neighbour.image_id for one in findings.captions[: params.num_shown]}
    thumbnails = _thumbnails(data, nearest, aspects)
    with atomic_folder(out_folder) as part:
        _write(part, findings, report, pictures, thumbnails, params, loaded, dataset=f"{data.dataset}, {split} split")
    if proposals is not None:
        write_proposals(proposals, propose_weights(findings.slices.worse, training, reader, corpus))
    return AnalysisResult(findings, out_folder / PAGE_FILE)


def _write(
    folder: Path,
    findings: Findings,
    report: MetricsReport,
    pictures: Mapping[str, EmbeddedPicture],
    thumbnails: Mapping[str, str],
    params: AnalyseParams,
    loaded: LoadedCaptioner,
    *,
    dataset: str,
) -> None:
    model = loaded.manifest.weights_sha256[:12]
    shown = [(one, pictures[one.judged.image.image_id].data_uri) for one in findings.captions[: params.num_shown]]
    page = render_page(findings, shown, report, thumbnails, dataset=dataset, model=model)
    (folder / PAGE_FILE).write_text(page, encoding="utf-8")
    (folder / WORST_FILE).write_bytes(worst_table(findings.captions))
    (folder / SUMMARY_FILE).write_text(summarise(findings), encoding="utf-8")
    (folder / TASKS_FILE).write_text(labelling_tasks(shown[: params.num_worst], model=model), encoding="utf-8")
    (folder / CONFIG_FILE).write_text(labelling_config(), encoding="utf-8")


def _require_same(
    facts: Mapping[str, str], data: ProcessedData, loaded: LoadedCaptioner, split: Split, scored_split_hash: str
) -> None:
    if not facts.get("split_hash") == data.split_hashes.get(split) == scored_split_hash:
        raise DataError(
            f"Expected captions, metrics and data of the same {split} split, found different split hashes. "
            "Run `dvc repro evaluate`."
        )
    if (wrote := facts.get("model_sha256")) != loaded.manifest.weights_sha256:
        raise DataError(
            f"Expected captions of model {loaded.manifest.weights_sha256[:12]}, found those of {str(wrote)[:12]}. "
            "Run `dvc repro evaluate`."
        )
    if (wanted := loaded.manifest.preprocessing) != data.preprocessing:
        raise DataError(
            f"The captioner wants {wanted}, {data.folder} holds {data.preprocessing}: its attention cannot be shown on "
            f"these pictures. Set image_size_px: {wanted.image_size_px} and resize: {wanted.resize} under preprocess "
            "in params.yaml, and run `dvc repro preprocess`."
        )


def _rival_captions(path: Path | None, images: Sequence[CaptionedImage]) -> Mapping[str, str] | None:
    if path is None:
        return None
    captions = {one.image_id: one.hypotheses[0].caption for one in read_captions(path)}
    if captions.keys() != {one.image_id for one in images}:
        raise DataError(f"Expected captions of the same images in {path}, found others. Evaluate both on one split.")
    return captions


def _in_order(images: Sequence[CaptionedImage], data: ProcessedData, split: Split) -> list[CaptionedImage]:
    """The captions in the order of the shards, as the features stand."""
    by_id = {one.image_id: one for one in images}
    order = data.references(split)
    if by_id.keys() != order.keys():
        raise DataError(
            f"Expected captions of the {len(order)} images of the {split} split, found {len(by_id)} and not the same "
            "ones. Run `dvc repro evaluate`."
        )
    return [by_id[image_id] for image_id in order]


def _pictures(data: ProcessedData, split: Split) -> dict[str, EmbeddedPicture]:
    """Measures and embeds the pictures one by one: their pixels are never held together."""
    rows = tqdm(data.rows(split), total=data.counts[split], desc="pictures", unit="image", disable=None)
    decoded = ((row.image_id, decode_row_image(row)) for row in rows)
    return {image_id: EmbeddedPicture(measure_picture(pixels), embed_picture(pixels)) for image_id, pixels in decoded}


def _thumbnails(data: ProcessedData, image_ids: Collection[str], aspects: Mapping[str, float]) -> dict[str, str]:
    """Embeds some training pictures, in the shape of the originals where their whole frame is there."""
    is_whole = data.preprocessing.resize == "squash"
    return {
        row.image_id: embed_thumbnail(
            decode_row_image(row), aspect=aspects.get(row.image_id, math.nan) if is_whole else math.nan
        )
        for row in data.rows("train")
        if row.image_id in image_ids
    }


def _inspect(
    images: Sequence[CaptionedImage], loaded: LoadedCaptioner, data: ProcessedData, split: Split, *, cache: Path
) -> tuple[list[Inspection], npt.NDArray[np.float32]]:
    """Looks at the pictures as the captioner does: (inspections, mean features (images, C))."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = loaded.captioner.encoder
    features, training = (load_features(data, one, encoder, cache, device=device) for one in (split, "train"))
    loaded.captioner.cpu()
    pooled = pool(features)
    ids = [one.image_id for one in images]
    neighbours = nearest_training_images(ids, pooled, data.references("train"), pool(training))
    inspected = inspect_captions(loaded, features, images)
    return [Inspection(*found, near) for found, near in zip(inspected, neighbours, strict=True)], pooled


def _aspects(manifest: Path) -> dict[str, float]:
    """Width over height of the original pictures, where the file says so."""
    table = read_manifest(manifest)
    known = table[(table["width_px"] > 0) & (table["height_px"] > 0)]
    return dict(zip(known["image_id"], known["width_px"] / known["height_px"], strict=True))
