"""The stage `preprocess`."""

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from captiongen.data.corrections import CorrectionsFolder, Decision, Kind, Picture, Proposal, write_decisions
from captiongen.data.images import decode_image, prepare
from captiongen.data.shards import ProcessedData, decode_row_image, open_processed, split_hash
from captiongen.data.validation_report import write_validation
from captiongen.errors import DataError, ValidationFailed
from captiongen.params import IngestParams, PreprocessParams, TableParams, TokenizerParams
from captiongen.stages.ingest import ingest
from captiongen.stages.preprocess import preprocess
from captiongen.text.pretrained import cut_tokenizer, folder_sha256, open_tokenizer
from captiongen.text.tokenizer import CaptionTokenizer
from captiongen.types import Finding, Preprocessing, ValidationReport
from tests.corrected import drop, weigh
from tests.datasets import encode, gradient, write_files, write_table_dataset
from tests.tiny import LANGUAGE_MODELS

_INGEST = IngestParams(source="table", path="", name="mine & <yours>", table=TableParams(split_column="split"))
_PARAMS = PreprocessParams(
    image_size_px=32, resize="squash", images_per_shard=5, tokenizer=TokenizerParams(min_count=1)
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small data set, ingested and found valid."""
    write_table_dataset(tmp_path / "in", num_images=20)
    # Words that training never sees, to be counted in the card.
    table = tmp_path / "in" / "captions.csv"
    table.write_text(table.read_text() + "8.png,A zebra & <b>tiger</b>,test\n")
    ingest(_INGEST, source_folder=tmp_path / "in", out_folder=tmp_path / "interim")
    write_validation(tmp_path / "validation.json", ValidationReport(20, 1, ()))
    return tmp_path


def _run(project: Path, params: PreprocessParams = _PARAMS, out: str = "out") -> ProcessedData:
    return preprocess(
        params,
        ingest=_INGEST,
        manifest=project / "interim" / "manifest.parquet",
        validation_report=project / "validation.json",
        source_folder=project / "in",
        corrections=CorrectionsFolder(project / "corrections"),
        near_duplicate_distance=2,
        out_folder=project / out / "processed",
        card_folder=project / out / "card",
    )


def _accept(project: Path, *proposals: Proposal) -> None:
    decided = [Decision(one, datetime(2026, 1, 31, tzinfo=UTC)) for one in proposals]
    write_decisions(CorrectionsFolder(project / "corrections").accepted, decided)


@pytest.mark.parametrize("resize", ["squash", "crop"])
def test_shards_hold_exactly_what_serving_computes(project: Path, resize: str):
    """A picture from a shard equals the picture that the service prepares from the same file, bit by bit."""
    processed = _run(project, _PARAMS.model_copy(update={"resize": resize}))
    assert processed.preprocessing == Preprocessing(32, resize)
    for split, count in (("train", 16), ("dev", 2), ("test", 2)):
        rows = list(processed.rows(split))
        assert len(rows) == processed.counts[split] == count
        for row in rows:
            served = prepare(decode_image((project / "in" / row.image_id).read_bytes()), processed.preprocessing)
            assert np.array_equal(decode_row_image(row), served)


def test_tokenizer_knows_training_words_only(project: Path):
    """A word of the test split is unknown; training words are not."""
    tokenizer = CaptionTokenizer.load(_run(project).tokenizer_path)
    assert tokenizer.decode(tokenizer.encode("A dog running")) == "a dog running"
    assert tokenizer.decode(tokenizer.encode("A zebra")) == "a <unk>"


def test_a_pretrained_tokenizer_is_cut_to_the_training_captions(project: Path):
    """The pieces are the model's, of training captions only, and the data card says whose they are."""
    model = LANGUAGE_MODELS / "bert"
    params = TokenizerParams(kind="pretrained", source=str(model), sha256=folder_sha256(model))
    processed = _run(project, _PARAMS.model_copy(update={"tokenizer": params}))
    tokenizer = CaptionTokenizer.load(processed.tokenizer_path)
    captions = [caption for of_one in processed.references("train").values() for caption in of_one]
    assert tokenizer.to_json() == cut_tokenizer(captions, open_tokenizer(model / "tokenizer.json")).to_json()
    assert f"Pieces of {model}" in (project / "out" / "card" / "index.html").read_text()


def test_index_names_the_content(project: Path):
    """Data set, hashes and counts can be read without reading shards, and the split hash is that of the references."""
    processed = _run(project)
    assert open_processed(project / "out" / "processed") == processed
    assert processed.dataset == "mine & <yours>"
    pictures = {name: hashlib.sha256((project / "in" / name).read_bytes()).hexdigest() for name in ("8.png", "18.png")}
    assert processed.split_hashes["test"] == split_hash(processed.references("test"), pictures)
    assert processed.references("test")["8.png"][-1] == "A zebra & <b>tiger</b>"


def test_a_second_run_writes_the_same_bytes(project: Path):
    """Shards, tokenizer, index and data card: DVC sees no change where there is none."""
    _run(project, out="a")
    _run(project, out="b")
    files = sorted(path.relative_to(project / "a") for path in (project / "a").rglob("*") if path.is_file())
    assert {"index.json", "tokenizer.json", "index.html"} <= {path.name for path in files}
    for file in files:
        assert (project / "a" / file).read_bytes() == (project / "b" / file).read_bytes(), file


def test_a_replaced_picture_is_another_split(project: Path):
    """Equal ids and captions over another picture are no longer what a model was scored on."""
    before = _run(project)
    (project / "in" / "8.png").write_bytes(encode(gradient(seed=99)))
    ingest(_INGEST, source_folder=project / "in", out_folder=project / "interim")
    after = _run(project)
    for hashes_before, hashes_after in (
        (before.split_hashes, after.split_hashes),
        (before.picture_hashes, after.picture_hashes),
    ):
        assert [split for split in hashes_before if hashes_before[split] != hashes_after[split]] == ["test"]


def test_invalid_data_are_refused(project: Path):
    """A broken data contract stops here too; warnings do not."""
    broken = Finding("no_html", "error", "Captions hold HTML.", 1, ("8.png",))
    write_validation(project / "validation.json", ValidationReport(20, 1, (broken,)))
    with pytest.raises(ValidationFailed, match="Captions hold HTML"):
        _run(project)
    assert not (project / "out" / "processed").exists()
    warning = Finding("no_html", "warning", "Captions hold HTML.", 1, ("8.png",))
    write_validation(project / "validation.json", ValidationReport(20, 1, (warning,)))
    assert _run(project).counts["train"] == 16


def test_a_missing_report_is_refused(project: Path):
    """Unvalidated data do not go on."""
    (project / "validation.json").unlink()
    with pytest.raises(DataError, match=r"validation\.json"):
        _run(project)


def test_a_picture_that_changed_is_refused_and_nothing_is_left(project: Path):
    """The manifest's hash guards every picture; an earlier result stays whole, no part of a new one remains."""
    before = _run(project)
    (project / "in" / "12.png").write_bytes(encode(gradient(seed=99)))
    with pytest.raises(DataError, match=r"12\.png changed"):
        _run(project)
    assert len(list(before.rows("train"))) == 16
    assert [path.name for path in (project / "out").iterdir() if path.name.startswith(".")] == []


def test_undecodable_images_are_left_out(project: Path):
    """An image that the contract tolerates as undecodable reaches no shard."""
    (project / "in" / "0.png").write_bytes(b"no picture")
    ingest(
        _INGEST.model_copy(update={"max_rejected_fraction": 0.1}),
        source_folder=project / "in",
        out_folder=project / "interim",
    )
    processed = _run(project)
    assert processed.counts["train"] == 15
    assert "0.png" not in processed.references("train")


def test_an_empty_split_is_refused(project: Path):
    """Without a dev split no epoch can be chosen: said here, not after hours of training."""
    table = project / "in" / "captions.csv"
    table.write_text(table.read_text().replace(",dev", ",train"))
    ingest(_INGEST, source_folder=project / "in", out_folder=project / "interim")
    with pytest.raises(DataError, match="found none in dev"):
        _run(project)


def test_data_card_shows_the_data_and_needs_nothing_else(project: Path):
    """Split sizes, unknown words and samples are there, captions are escaped, and no other file or host is asked."""
    _run(project)
    page = (project / "out" / "card" / "index.html").read_text()
    assert "mine &amp; &lt;yours&gt;" in page
    assert "A zebra &amp; &lt;b&gt;tiger&lt;/b&gt;" in page
    assert "<b>tiger</b>" not in page
    assert "zebra (1)" in page
    assert "<td>train</td><td>16</td><td>32</td><td>2.00</td>" in page
    assert page.count("<figure>") == 4 + 4 + 2 + 2
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 12
    assert all(source.startswith("data:image/") for source in sources)


def test_data_card_lists_pictures_that_occur_twice(project: Path):
    """A copied picture is named with the splits it is in."""
    (project / "in" / "8.png").write_bytes((project / "in" / "3.png").read_bytes())
    ingest(_INGEST, source_folder=project / "in", out_folder=project / "interim")
    _run(project)
    page = (project / "out" / "card" / "index.html").read_text()
    assert "<td>same bytes</td>" in page
    assert "3.png (train), 8.png (test)" in page


def test_a_bpe_tokenizer_may_be_asked_for(project: Path):
    """With pieces, new words of known letters can be written."""
    params = _PARAMS.model_copy(update={"tokenizer": TokenizerParams(kind="bpe", vocabulary_size=60)})
    tokenizer = CaptionTokenizer.load(_run(project, params).tokenizer_path)
    assert tokenizer.decode(tokenizer.encode("a bad rug")) == "a bad rug"


def test_accepted_corrections_change_train_alone(project: Path, capsys: pytest.CaptureFixture[str]):
    """A caption is dropped from shards and hash of train, all else stays; what was done, and not, is told."""
    before = _run(project)
    _accept(project, drop("0.png", "A dog number 1 , running ."), misfit := drop("7.png", "<b> A dog"))
    after = _run(project)
    assert after.references("train")["0.png"] == ("A dog number 0 , running .",)
    assert after.references("dev") == before.references("dev")
    assert [split for split in before.split_hashes if before.split_hashes[split] != after.split_hashes[split]] == [
        "train"
    ]
    assert after.picture_hashes == before.picture_hashes
    assert after.data_hash == before.data_hash
    said, card = capsys.readouterr().err, (project / "out" / "card" / "index.html").read_text()
    assert "1 x drop_caption applied" in said
    assert f"{misfit} was not applied: the image is in split dev" in said
    assert "<li>1 x drop_caption applied</li>" in card
    assert "&lt;b&gt; A dog" in card


def test_an_added_picture_is_a_training_image_and_weights_are_kept(project: Path):
    """An accepted picture lies in the shards as the service would prepare it; weights lie beside, by image id."""
    data = encode(gradient(seed=99))
    picture = Picture("cat.png", hashlib.sha256(data).hexdigest())
    _accept(
        project,
        Proposal(Kind.ADD_IMAGE, ("new",), "feedback", "", 1.0, instead="A cat .", picture=picture),
        weigh("0.png", "1.png", weight=2.0),
    )
    write_files(project / "corrections" / "pictures", {"cat.png": data})
    processed = _run(project)
    assert processed.counts["train"] == 17
    [row] = [row for row in processed.rows("train") if row.image_id == "new"]
    assert row.captions == ("A cat .",)
    assert np.array_equal(decode_row_image(row), prepare(decode_image(data), processed.preprocessing))
    tokenizer = CaptionTokenizer.load(processed.tokenizer_path)
    assert tokenizer.decode(tokenizer.encode("a cat")) == "a cat"
    assert processed.sampling_weights() == {"0.png": 2.0, "1.png": 2.0}
