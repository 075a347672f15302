"""Proposals and decisions as files."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from captiongen.data.corrections import (
    Decision,
    Kind,
    Picture,
    Proposal,
    read_decisions,
    read_proposals,
    write_decisions,
    write_proposals,
)
from captiongen.errors import DataError

_DROP = Proposal(Kind.DROP_CAPTION, ("a.png",), "audit", "Does not fit the picture.", 0.5, caption="A dog .")
_WEIGHT = Proposal(Kind.WEIGHT_IMAGES, ("a.png", "b.png"), "analysis", "Dark pictures.", 0.7, weight=2.0)
_ADD = Proposal(
    Kind.ADD_IMAGE, ("f",), "feedback", "By a user.", 1.0, instead="A cat.", picture=Picture("f.jpg", "0" * 64)
)
_NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)

texts = st.text(st.characters(codec="utf-8"))
proposals = st.builds(
    Proposal,
    st.sampled_from([Kind.DROP_CAPTION, Kind.MERGE_CAPTIONS]),
    texts.map(lambda name: (name,)),
    st.sampled_from(["audit", "analysis"]),
    texts,
    st.integers(0, 10**4).map(lambda tenths: tenths / 10**4),
    caption=texts,
) | st.builds(
    Proposal,
    st.just(Kind.WEIGHT_IMAGES),
    st.sets(texts, min_size=1).map(lambda names: tuple(sorted(names))),
    st.just("analysis"),
    texts,
    st.just(0.5),
    weight=st.floats(0, 100),
)


@settings(max_examples=50)
@given(found=st.lists(proposals, unique_by=lambda one: one.id))
def test_what_is_written_comes_back(found: list[Proposal], tmp_path_factory: pytest.TempPathFactory):
    """Any proposals, with any text, come back whole, in the order of their ids."""
    path = tmp_path_factory.mktemp("proposals") / "p.jsonl"
    write_proposals(path, found)
    assert list(read_proposals(path)) == sorted(found, key=lambda one: one.id)


def test_the_order_they_were_found_in_leaves_no_trace(tmp_path: Path):
    """The same proposals in another order are the same bytes."""
    write_proposals(tmp_path / "a.jsonl", [_DROP, _WEIGHT, _ADD])
    write_proposals(tmp_path / "b.jsonl", [_ADD, _WEIGHT, _DROP])
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_the_same_change_is_the_same_proposal():
    """Source, reason and score leave the id as it is; image, caption, weight and kind change it."""
    assert replace(_DROP, source="analysis", reason="?", score=0.1).id == _DROP.id
    assert replace(_WEIGHT, weight=2).id == _WEIGHT.id
    others = [
        replace(_DROP, image_ids=("b.png",)),
        replace(_DROP, caption="A cat ."),
        replace(_DROP, kind=Kind.MERGE_CAPTIONS),
        replace(_WEIGHT, weight=3.0),
        replace(_ADD, picture=Picture("f.jpg", "1" * 64)),
    ]
    assert len({_DROP.id, _WEIGHT.id, _ADD.id, *(one.id for one in others)}) == 3 + len(others)


def test_of_two_sources_the_surer_is_kept(tmp_path: Path):
    """A change that is proposed twice is written once, with the higher score."""
    write_proposals(tmp_path / "p.jsonl", [replace(_DROP, score=0.9, reason="sure"), _DROP])
    assert [one.reason for one in read_proposals(tmp_path / "p.jsonl")] == ["sure"]


def test_decisions_come_back_with_their_proposals(tmp_path: Path):
    """A decision holds all of its proposal; where one was made twice the first counts."""
    decided = Decision(_ADD, _NOON, "Ada")
    write_decisions(tmp_path / "d.jsonl", [replace(decided, decided_at=_NOON + timedelta(hours=1)), decided])
    assert read_decisions(tmp_path / "d.jsonl") == (decided,)


def test_no_proposals_are_a_file_with_a_byte(tmp_path: Path):
    """Nothing comes back as nothing, and DVC, which warns of empty files, finds none."""
    write_proposals(tmp_path / "p.jsonl", [])
    assert read_proposals(tmp_path / "p.jsonl") == ()
    assert (tmp_path / "p.jsonl").stat().st_size > 0


def test_no_file_is_no_proposals(tmp_path: Path):
    """Where nothing was proposed or decided there is nothing."""
    assert read_proposals(tmp_path / "p.jsonl") == ()
    assert read_decisions(tmp_path / "d.jsonl") == ()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("<<<<<<< HEAD", "expected value at column 1"),
        ("[" * 100_000, "recursion limit"),
        ("[]", "expected a JSON object, found a list"),
        ('{"kind": "drop_caption"}', "image_ids: "),
        ('{"kind": "drop", "image_ids": ["a"], "source": "audit", "reason": "", "score": 0}', "'weight_images'"),
        ('{"kind": "drop_caption", "image_ids": ["a"], "source": "audit", "reason": "", "score": 0}', "fields caption"),
    ],
)
def test_a_line_that_is_no_proposal_is_named(line: str, message: str, tmp_path: Path):
    """The error says file, line and what is wrong there."""
    path = tmp_path / "p.jsonl"
    write_proposals(path, [_DROP])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=r"p\.jsonl, line 2: .*" + message):
        read_proposals(path)


def test_a_line_that_was_edited_by_hand_is_named(tmp_path: Path):
    """An id that is not that of the content is refused: a decision on it would be one on something else."""
    path = tmp_path / "p.jsonl"
    write_proposals(path, [_DROP])
    path.write_text(path.read_text().replace("A dog .", "A cat ."))
    with pytest.raises(DataError, match=f"found {_DROP.id}"):
        read_proposals(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"caption": None}, "fields caption"),
        ({"weight": 2.0}, "fields caption in"),
        ({"image_ids": ()}, "at least one"),
        ({"image_ids": ("a", "b")}, "one image"),
        ({"score": 1.5}, "score of 0 to 1"),
        ({"kind": Kind.RELABEL_CAPTION, "instead": " . "}, "with words"),
    ],
)
def test_a_proposal_that_makes_no_sense_cannot_be_made(changes: dict, message: str):
    """Fields that are missing, that do not belong to the kind, or are out of range are refused in words."""
    with pytest.raises(ValueError, match=message):
        replace(_DROP, **changes)


@pytest.mark.parametrize(("ids", "weight"), [(("b", "a"), 2.0), (("a", "a"), 2.0), (("a",), -1.0), (("a",), 101.0)])
def test_a_slice_is_sorted_and_its_weight_in_range(ids: tuple[str, ...], weight: float):
    """Image ids stand sorted, each once; a weight is 0 to 100."""
    with pytest.raises(ValueError, match="expected"):
        replace(_WEIGHT, image_ids=ids, weight=weight)


@pytest.mark.parametrize("half", [r"\ud800", r"\ud800 dog", r"\udc00"])
def test_half_a_character_is_named(half: str, tmp_path: Path):
    """JSON can hold half of a surrogate pair, which no file of ours could: the line is refused where it is read."""
    path = tmp_path / "p.jsonl"
    write_proposals(path, [_DROP])
    path.write_text(path.read_text().replace("A dog .", half))
    with pytest.raises(DataError, match=r"p\.jsonl, line 1: .*hex escape at column .*Mend the line"):
        read_proposals(path)


@pytest.mark.parametrize(
    "name", ["../cat.jpg", "a/cat.jpg", "a\\cat.jpg", "..", ".hidden", "", "a\n", "a\x00.jpg", "é.jpg", "y" * 129]
)
def test_a_picture_has_the_name_of_a_file(name: str, tmp_path: Path):
    """What could lead out of the folder, or be too long for one, is refused in words that stay short."""
    path = tmp_path / "p.jsonl"
    write_proposals(path, [_ADD])
    path.write_text(path.read_text().replace('"f.jpg"', json.dumps(name)))
    with pytest.raises(DataError, match=r"line 1: picture.*expected a file name of at most 128 letters") as caught:
        read_proposals(path)
    assert len(str(caught.value)) < 400


def test_a_rewritten_report_is_no_other_report(tmp_path: Path):
    """It holds the caption that it was made of, on the disk and rewritten again too; with that one it is the report."""
    [written] = _ADD.rewritten("A grey cat.")
    assert (written.caption, written.instead) == ("A cat.", "A grey cat.")
    assert written.id != replace(_ADD, instead="A grey cat.").id
    [again] = written.rewritten("Two cats.")
    assert again.caption == "A cat."
    assert written.rewritten("A cat.") == _ADD.rewritten("A cat.") == (_ADD,)
    write_decisions(tmp_path / "d.jsonl", [Decision(written, _NOON)])
    assert [one.proposal for one in read_decisions(tmp_path / "d.jsonl")] == [written]


def test_a_proposal_in_words_moves_no_cursor():
    """Control codes in names and captions are shown, not done."""
    shown = str(replace(_DROP, image_ids=("\x1b[2Ja.png",), caption="A \x1b]0;dog\x07 ."))
    assert shown.isprintable()
    assert r"\x1b[2Ja.png" in shown
