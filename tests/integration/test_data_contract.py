"""The data contract under the real Great Expectations: every seeded fault is found and named, clean data pass."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from captioned_table import CaptionedTable, captioned_table, picture
from PIL import Image

from captiongen.adapters.expectations import GreatExpectationsContract
from captiongen.data.manifest import read_manifest
from captiongen.data.scenes.dataset import render_scenes
from captiongen.errors import DataError, ParamsError, ValidationFailed
from captiongen.params import IngestParams, ValidateParams, load_params
from captiongen.stages.ingest import ingest
from captiongen.stages.validate import validate
from captiongen.types import Finding, ValidationReport

CONTRACT = GreatExpectationsContract()
Damage = Callable[[pd.DataFrame], pd.DataFrame]


def judge(manifest: pd.DataFrame, folder: Path, **limits: object) -> ValidationReport:
    return CONTRACT.check(manifest, ValidateParams(**limits), docs_folder=folder / "docs")


def findings(manifest: pd.DataFrame, folder: Path, **limits: object) -> dict[str, Finding]:
    return {finding.check: finding for finding in judge(manifest, folder, **limits).findings}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("clean")
    return read_manifest(captioned_table(folder / "raw").ingest(folder / "interim"))


@pytest.fixture
def manifest(clean: pd.DataFrame) -> pd.DataFrame:
    return clean.copy()


def caption(image: str, text: str) -> Callable[[CaptionedTable], None]:
    return lambda table: table.rows_of(image)[2].update(caption=text)


# Faults of the files that a user brings: through ingest and validate, as `dvc repro` runs them.

INGEST_FAULTS: dict[str, tuple[Callable[[CaptionedTable], None], str]] = {
    "missing image": (lambda table: (table.folder / "03.jpg").unlink(), "03.jpg: the image file is missing"),
    "truncated": (
        lambda table: (table.folder / "03.jpg").write_bytes((table.folder / "03.jpg").read_bytes()[:-400]),
        "03.jpg: The JPEG image cannot be decoded",
    ),
    "no image at all": (
        lambda table: (table.folder / "03.jpg").write_text("<html>404 not found</html>"),
        "03.jpg: Expected one of JPEG",
    ),
    "huge image": (
        lambda table: Image.new("1", (9000, 9000)).save(table.folder / "03.jpg", format="PNG"),
        "03.jpg: Expected at most 25 megapixels, found 9000 x 9000",
    ),
    "../ in a name": (
        lambda table: table.change("03.jpg", image="../03.jpg"),
        "../03.jpg: the file name leads out of the images folder",
    ),
    "absolute name": (
        lambda table: table.change("03.jpg", image="/etc/03.jpg"),
        "/etc/03.jpg: the file name is absolute",
    ),
    "wrong split name": (lambda table: table.change("03.jpg", split="holdout"), "'holdout' is no split"),
    "two splits": (
        lambda table: table.rows_of("03.jpg")[0].update(split="test"),
        "03.jpg: listed in several splits: test, train",
    ),
    "swapped columns": (
        lambda table: table.swap_columns(),
        "A boat three is near a river .: the image file is missing",
    ),
}


@pytest.mark.parametrize(("damage", "message"), INGEST_FAULTS.values(), ids=INGEST_FAULTS.keys())
def test_a_picture_or_row_that_cannot_be_used_stops_ingest_and_is_named(
    damage: Callable[[CaptionedTable], None], message: str, tmp_path: Path
):
    """One unusable picture of forty is over the limit of 1 %: ingest stops with its own message that names it."""
    table = captioned_table(tmp_path / "raw")
    damage(table)
    table.write_table()
    with pytest.raises(DataError) as stopped:
        table.ingest(tmp_path / "interim")
    assert message in str(stopped.value)


def _copy(table: CaptionedTable, name: str, to: str) -> None:
    (table.folder / to).write_bytes((table.folder / name).read_bytes())


VALIDATE_FAULTS: dict[str, tuple[Callable[[CaptionedTable], None], str, str]] = {
    "wrong size": (
        lambda table: picture(0, size=(8, 8)).save(table.folder / "00.jpg"),
        "min_side: Expected sides of at least 32 px; found otherwise in 1 of 40 images",
        "00.jpg (8)",
    ),
    "panorama": (
        lambda table: picture(1, size=(600, 60)).save(table.folder / "01.jpg"),
        "aspect_ratio: Expected a longer side of at most 4 times the shorter",
        "01.jpg (10)",
    ),
    "same picture in two splits": (
        lambda table: _copy(table, "02.jpg", to="08.jpg"),
        "split_leak_files: Expected no picture file twice in different splits",
        "08.jpg (dev) = 02.jpg (train)",
    ),
    "look-alike in two splits": (
        lambda table: picture(3).save(table.folder / "09.jpg", quality=70),
        "split_leak_lookalikes: Expected pictures in different splits to differ",
        "03.jpg (train) = 09.jpg (test)",
    ),
    "4 captions": (
        lambda table: table.rows.remove(table.rows_of("04.jpg")[0]),
        "captions_per_image: Expected 5 captions an image; found otherwise in 1 of 40 images",
        "04.jpg (4)",
    ),
    "empty caption": (caption("10.jpg", ""), "caption_empty: Expected captions with words", "10.jpg#2 ('')"),
    "blank caption": (caption("11.jpg", "  "), "caption_empty: Expected captions with words", "11.jpg#2 ('')"),
    "NaN": (caption("12.jpg", "NaN"), "caption_placeholder: Expected captions, no placeholders", "12.jpg#2 ('NaN')"),
    "wrong encoding": (
        caption("13.jpg", "A girl in a cafÃ© ."),
        "caption_encoding: Expected captions in one encoding",
        "13.jpg#2 ('A girl in a cafÃ© .')",
    ),
    "lost characters": (caption("14.jpg", "A girl in a caf\ufffd ."), "caption_encoding: ", "14.jpg#2"),
    "HTML": (
        caption("15.jpg", "A dog <br> in the snow ."),
        "caption_html: Expected no HTML in captions",
        "15.jpg#2 ('A dog <br> in the snow .')",
    ),
    "HTML entity": (caption("16.jpg", "A dog &amp; a cat ."), "caption_html: ", "16.jpg#2"),
    "control character": (
        caption("17.jpg", "A dog\x07 in the snow ."),
        "caption_control_characters: Expected no control or invisible characters",
        r"17.jpg#2 ('A dog\x07 in the snow .')",
    ),
    "invisible character": (caption("20.jpg", "A dog\u200b in it ."), "caption_control_characters: ", "20.jpg#2"),
    "other script": (
        caption("21.jpg", "Собака бежит по снегу ."),
        "caption_characters: Expected printable Latin characters",
        "21.jpg#2",
    ),
    "file name as caption": (
        caption("22.jpg", "IMG_0042.JPG"),
        "swapped_columns: Expected captions that are sentences, not file names",
        "22.jpg#2 ('IMG_0042.JPG')",
    ),
    "endless caption": (
        caption("23.jpg", "a dog and " * 30),
        "long_captions: Expected captions of at most 50 words; found otherwise in 1 of 199 captions",
        "23.jpg#2 (90)",
    ),
}


@pytest.fixture(scope="module")
def refusal(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `validate` says of a data set with all of `VALIDATE_FAULTS`, each in pictures of its own."""
    folder = tmp_path_factory.mktemp("faults")
    table = captioned_table(folder / "raw")
    for damage, _, _ in VALIDATE_FAULTS.values():
        damage(table)
    table.write_table()
    manifest = table.ingest(folder / "interim")
    with pytest.raises(ValidationFailed) as stopped:
        # Captions without words are short too: here they are to be found by their own check.
        params = ValidateParams(max_short_captions_fraction=0.1)
        validate(params, manifest=manifest, out_folder=folder / "reports", contract=CONTRACT)
    return str(stopped.value)


@pytest.mark.parametrize(("_", "message", "row"), VALIDATE_FAULTS.values(), ids=VALIDATE_FAULTS.keys())
def test_a_fault_in_the_data_stops_validate_and_is_named(_: object, message: str, row: str, refusal: str):
    """Each fault has one line of its own check among the errors, which names the row and what it holds."""
    lines = [line for line in refusal.splitlines() if line.strip().startswith(message)]
    assert len(lines) == 1, refusal
    assert row in lines[0]


def test_faults_raise_no_other_alarm(refusal: str):
    """The refusal counts exactly the checks of the seeded faults, so no fault sets off a foreign check."""
    checks = {message.split(":")[0] for _, message, _ in VALIDATE_FAULTS.values()}
    assert {line.split(":")[0].strip() for line in refusal.splitlines() if line.startswith("  ")} == checks


# Faults that no file can bring through ingest, or that concern the whole data set: in the manifest itself.


def cell(row: int, column: str, value: object) -> Damage:
    def damage(manifest: pd.DataFrame) -> pd.DataFrame:
        manifest.at[row, column] = value
        return manifest

    return damage


def every(column: str, value: object) -> Damage:
    return lambda manifest: manifest.assign(**{column: [value] * len(manifest)})


ROW_FAULTS: dict[str, tuple[Damage, str, str]] = {
    "duplicated id in two splits": (cell(8, "image_id", "00.jpg"), "unique_ids", "00.jpg"),
    "id in two splits": (cell(8, "image_id", "00.jpg"), "split_leak_ids", "00.jpg"),
    "duplicated path": (cell(2, "path", "01.jpg"), "unique_paths", "01.jpg"),
    "null id": (cell(3, "image_id", None), "no_nulls", "row 4"),
    "id is a sentence": (cell(4, "image_id", "A dog runs in snow"), "swapped_columns", "A dog runs in snow"),
    "../ in a path": (cell(5, "path", "a/../../b.jpg"), "safe_paths", "05.jpg"),
    "backslash in a path": (cell(6, "path", "a\\b.jpg"), "safe_paths", "06.jpg"),
    "control character in an id": (cell(7, "image_id", "a\nb.jpg"), "safe_ids", "a\\nb.jpg"),
    "undecodable": (cell(10, "is_decodable", False), "decodable", "10.jpg"),
    "empty file": (cell(11, "num_bytes", 0), "file_size", "11.jpg"),
    "unknown split": (cell(12, "split", "holdout"), "split_names", "12.jpg"),
    "null caption": (
        cell(13, "captions", ["a dog is", None, "x y z", "d e f", "g h i"]),
        "caption_missing",
        "13.jpg#1",
    ),
    "no captions": (cell(14, "captions", []), "captions_per_image", "14.jpg"),
    "large side": (cell(15, "height_px", 10_001), "max_side", "15.jpg"),
}


@pytest.fixture(scope="module")
def found_in_rows(clean: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    """(check, row) -> severity, of a manifest with all of `ROW_FAULTS`."""
    manifest = clean.copy()
    for damage, _, _ in ROW_FAULTS.values():
        manifest = damage(manifest)
    report = judge(manifest, tmp_path_factory.mktemp("rows"))
    return {(finding.check, row): finding.severity for finding in report.findings for row in finding.rows}


@pytest.mark.parametrize(("_", "check", "row"), ROW_FAULTS.values(), ids=ROW_FAULTS.keys())
def test_a_fault_in_a_row_of_the_manifest_is_an_error_that_names_the_row(
    _: object, check: str, row: str, found_in_rows: dict[tuple[str, str], str]
):
    """The check of that name fails with severity `error` for that row."""
    assert found_in_rows[check, row] == "error"


TABLE_FAULTS: dict[str, tuple[Damage, set[str]]] = {
    "one split only": (every("split", "train"), {"splits_present", "split_fractions"}),
    "captions all alike": (
        every("captions", ["a dog", "a dog", "a dog", "a dog", "a dog"]),
        {"vocabulary", "repeated_captions_fraction", "short_captions_fraction"},
    ),
    "no images": (
        lambda manifest: manifest.iloc[:0],
        {"has_images", "splits_present", "split_fractions", "vocabulary"},
    ),
    "missing column": (lambda manifest: manifest.drop(columns="sha256"), {"schema_columns", "schema_types"}),
    "numbers as texts": (lambda manifest: manifest.astype({"width_px": str}), {"schema_types"}),
    "captions as text": (cell(3, "captions", "A dog runs"), {"schema_types"}),
    "no hash": (cell(3, "sha256", "abc"), {"schema_types"}),
}


@pytest.mark.parametrize(("damage", "checks"), TABLE_FAULTS.values(), ids=TABLE_FAULTS.keys())
def test_a_fault_of_the_whole_manifest_is_an_error(
    damage: Damage, checks: set[str], manifest: pd.DataFrame, tmp_path: Path
):
    """Exactly the checks of that fault fail with severity `error`."""
    report = judge(damage(manifest), tmp_path)
    assert {finding.check for finding in report.findings if finding.severity == "error"} == checks


def test_words_of_test_that_training_never_shows_are_an_error(manifest: pd.DataFrame, tmp_path: Path):
    """A test split in another language fails `unseen_words`."""
    is_test = manifest["split"] == "test"
    manifest.loc[is_test, "captions"] = manifest.loc[is_test, "captions"].map(
        lambda _: [f"ein Hund läuft hier {number}" for number in "abcde"]
    )
    assert findings(manifest, tmp_path)["unseen_words"].severity == "error"


def _share(column: str) -> Damage:
    """Gives row 3 what row 2 has."""
    return lambda manifest: cell(3, column, manifest.at[2, column])(manifest)


BLEMISHES: dict[str, tuple[Damage, str, str]] = {
    "copy in one split": (
        lambda manifest: _share("sha256")(_share("perceptual_hash")(manifest)),
        "duplicate_files",
        "02.jpg (train) = 03.jpg (train)",
    ),
    "look-alike in one split": (
        lambda manifest: cell(5, "perceptual_hash", manifest.at[4, "perceptual_hash"])(manifest),
        "lookalikes",
        "04.jpg (train) = 05.jpg (train)",
    ),
    "look-alike that is unused": (
        lambda manifest: cell(8, "split", "unused")(
            cell(8, "perceptual_hash", manifest.at[7, "perceptual_hash"])(manifest)
        ),
        "lookalikes",
        "07.jpg (train) = 08.jpg (unused)",
    ),
    "washed-out part": (cell(10, "seam_strength", 0.8), "damaged_pictures", "10.jpg"),
    "short caption": (
        cell(11, "captions", ["broken image", "a b c", "d e f", "g h i", "j k l"]),
        "short_captions",
        "11.jpg#0",
    ),
    "repeated caption": (
        cell(12, "captions", ["A dog runs.", "a dog runs", "d e f", "g h i", "j k l"]),
        "repeated_captions",
        "12.jpg",
    ),
}


def test_blemishes_warn_and_let_the_run_go_on(manifest: pd.DataFrame, tmp_path: Path):
    """Each blemish is a warning that names its row, there is no other finding, and the report passes."""
    for damage, _, _ in BLEMISHES.values():
        manifest = damage(manifest)
    report = judge(manifest, tmp_path)
    found = {(finding.check, finding.severity, row) for finding in report.findings for row in finding.rows}
    assert found == {(check, "warning", row) for _, check, row in BLEMISHES.values()}
    assert report.is_passed


def test_clean_tables_raise_no_alarm(manifest: pd.DataFrame, tmp_path: Path):
    """A clean data set has no finding at all, not even a warning."""
    report = judge(manifest, tmp_path)
    assert report.findings == ()
    assert report.num_images == 40
    assert report.num_checks > 50


def test_the_sample_data_raise_no_alarm(project: Path, tmp_path: Path):
    """Rendered scenes under their preset have no finding, not even a warning."""
    render_scenes(tmp_path / "raw", num_images=200, seed=7)
    params = load_params(project / "src" / "captiongen" / "presets" / "scenes.yaml")
    ingest(params.ingest, source_folder=tmp_path / "raw", out_folder=tmp_path / "interim")
    report = CONTRACT.check(
        read_manifest(tmp_path / "interim" / "manifest.parquet"), params.validate_, docs_folder=tmp_path / "docs"
    )
    assert report.findings == ()


def test_any_number_of_captions_may_be_allowed(manifest: pd.DataFrame, tmp_path: Path):
    """With `captions_per_image: null` one caption is enough, none is not."""
    manifest.at[3, "captions"] = ["a dog runs here"]
    manifest.at[4, "captions"] = []
    found = findings(manifest, tmp_path, captions_per_image=None)
    assert found["captions_per_image"].rows == ("04.jpg",)


def test_any_script_may_be_allowed(manifest: pd.DataFrame, tmp_path: Path):
    """With `caption_script: any` Cyrillic captions pass."""
    manifest.at[3, "captions"] = [f"Собака бежит по снегу {number}" for number in "абвгд"]
    assert findings(manifest, tmp_path, caption_script="any") == {}


def test_ordinary_latin_text_is_no_fault(manifest: pd.DataFrame, tmp_path: Path):
    """Accents, curly quotes, dashes, ampersands and less-than signs are neither HTML nor a wrong encoding."""
    manifest.at[3, "captions"] = [
        "Zoë’s naïve café – “déjà vu” …",  # noqa: RUF001 - the signs that people type
        "A sign says AT&T; 2 < 3 & more",
        "SÃO PAULO, À LA MODE",
        "Ein Hund läuft über die Straße – für 5 €",  # noqa: RUF001
        "Pes běží, ťuká a žere 100% śliwek",
    ]
    assert findings(manifest, tmp_path) == {}


def test_named_checks_only_warn(manifest: pd.DataFrame, tmp_path: Path):
    """A check under `validate.warn` is reported as a warning and does not stop the run."""
    manifest.at[3, "captions"] = ["a dog runs here"] * 4
    report = judge(manifest, tmp_path, warn=("captions_per_image",))
    assert {finding.check: finding.severity for finding in report.findings}["captions_per_image"] == "warning"
    assert report.is_passed


def test_a_misspelt_check_under_warn_is_refused(manifest: pd.DataFrame, tmp_path: Path):
    """A name under `validate.warn` that is no check is an error that lists the checks."""
    with pytest.raises(ParamsError, match=r"caption_per_image.*captions_per_image"):
        judge(manifest, tmp_path, warn=("caption_per_image",))


def test_data_docs_open_without_a_network_and_do_not_change(manifest: pd.DataFrame, tmp_path: Path):
    """Pages name the findings, refer to no host, run no script, and are equal for equal data."""
    manifest.at[3, "captions"] = ["a <b>dog</b> runs"] * 5
    judge(manifest, tmp_path / "first")
    judge(manifest, tmp_path / "second")
    pages = {path.name: path.read_bytes() for path in (tmp_path / "first" / "docs").iterdir()}
    assert pages == {path.name: path.read_bytes() for path in (tmp_path / "second" / "docs").iterdir()}
    assert {"index.html", "images.html", "captions.html", "splits.html"} <= set(pages)
    assert all(b"http" not in page and b"<script" not in page and b"<link" not in page for page in pages.values())
    assert b"caption_html" in pages["index.html"]
    assert b"&lt;b&gt;dog" in pages["index.html"]
    assert b"03.jpg#0" in pages["captions.html"]


def test_a_broken_contract_leaves_its_report_behind(tmp_path: Path):
    """The stage writes validation.json and docs before it stops, so that the reason can be read afterwards."""
    table = captioned_table(tmp_path / "raw")
    table.rows.remove(table.rows_of("03.jpg")[0])
    table.write_table()
    manifest = table.ingest(tmp_path / "interim")
    with pytest.raises(ValidationFailed, match=r"1 of \d+ expectations"):
        validate(ValidateParams(), manifest=manifest, out_folder=tmp_path / "reports", contract=CONTRACT)
    content = json.loads((tmp_path / "reports" / "validation.json").read_text())
    assert content["passed"] is False
    assert content["num_errors"] == 1
    assert content["findings"][0]["rows"] == ["03.jpg"]
    assert (tmp_path / "reports" / "docs" / "index.html").is_file()


@pytest.mark.real_data
@pytest.mark.slow
def test_flickr8k_passes_and_its_known_flaws_are_found(real_data: Path, project: Path, tmp_path: Path):
    """Of the real archive the damaged picture, the duplicate, the short captions and the orphan captions are named."""
    params = load_params(project / "src" / "captiongen" / "presets" / "flickr8k.yaml")
    ingest_params = IngestParams(source="flickr8k", path="unused here", name="flickr8k")
    ingest(ingest_params, source_folder=real_data, out_folder=tmp_path)
    report = validate(params.validate_, manifest=tmp_path / "manifest.parquet", out_folder=tmp_path, contract=CONTRACT)
    rows = {finding.check: finding.rows for finding in report.findings}
    quarantine = pd.read_parquet(tmp_path / "quarantine.parquet")
    assert report.is_passed
    assert "1798209205_77dbf525b0.jpg" in rows["damaged_pictures"]
    assert len(rows["damaged_pictures"]) <= 10
    assert rows["duplicate_files"] == ("2851198725_37b6027625.jpg (train) = 3050606344_af711c726c.jpg (train)",)
    assert {"2755314937_1e974bf2b5.jpg#3", "2428275562_4bde2bc5ea.jpg#0", "3640443200_b8066f37f6.jpg#0"} <= set(
        rows["short_captions"]
    )
    assert "2258277193_586949ec62.jpg.1" in set(quarantine["image_id"])
