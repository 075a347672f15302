"""`captiongen corrections`: what is proposed can be seen, filtered, decided and taken back."""

import os
import pty
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from captiongen.cli.app import app
from captiongen.data.corrections import CorrectionsFolder, Decision, read_decisions, write_decisions, write_proposals
from captiongen.data.feedback import FeedbackFolder
from captiongen.data.reported_captions import reported_captions
from captiongen.errors import UsageError
from tests.corrected import Feedback, drop, relabel, weigh
from tests.datasets import encode, gradient

FOLDER = CorrectionsFolder(Path("corrections"))
SURE, UNSURE = drop("a", "A dog .", score=0.95), drop("b", "A dog .", score=0.2)
RELABEL, SLICE = relabel("a", "A cat .", "Two cats ."), weigh("a", "b", weight=2.0)


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four proposals, nothing decided."""
    monkeypatch.chdir(tmp_path)
    write_proposals(FOLDER.proposals("audit"), [SURE, UNSURE, RELABEL])
    write_proposals(FOLDER.proposals("analysis"), [SLICE])


def corrections(*arguments: str) -> str:
    return CliRunner().invoke(app, ["corrections", *arguments], catch_exceptions=False).output


def accepted() -> set[str]:
    return {one.id for one in read_decisions(FOLDER.accepted)}


def test_proposals_are_counted_and_the_surest_shown_first():
    """A row for each source and kind with what is undecided, accepted and rejected; then the undecided ones."""
    corrections("accept", UNSURE.id)
    said = corrections("list", "--num", "2")
    assert re.search(r"^audit +drop_caption +1 +1 +0$", said, re.MULTILINE)
    assert re.search(r"^analysis +weight_images +1 +0 +0$", said, re.MULTILINE)
    assert said.index(str(SURE)) < said.index(str(RELABEL))
    assert "and 1 more: --num 3" in said


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], {SURE, UNSURE, RELABEL, SLICE}),
        (["--kind", "drop_caption"], {SURE, UNSURE}),
        (["--source", "audit", "--min-score", "0.8"], {SURE, RELABEL}),
    ],
)
def test_all_that_pass_the_filters_are_accepted(filters: list[str], expected: set):
    """`--all` means what `list` shows under the same filters."""
    shown = {one for one in (SURE, UNSURE, RELABEL, SLICE) if one.id in corrections("list", *filters)}
    corrections("accept", "--all", "--yes", *filters)
    assert shown == expected
    assert accepted() == {one.id for one in expected}


def test_the_beginning_of_an_id_is_enough():
    """Ids may be cut short as in git; a second time nothing changes, and it is said."""
    assert f"accepted: {SURE}" in corrections("accept", SURE.id[:6], "--by", "Ada")
    assert "1 were accepted before" in corrections("accept", SURE.id)
    assert [one.decided_by for one in read_decisions(FOLDER.accepted)] == ["Ada"]


def test_what_is_left_out_or_replaced_is_said():
    """One that lost to another of the same caption was not accepted before; a decision that goes is named."""
    other = relabel("a", "A dog .", "A cat .")
    write_proposals(FOLDER.proposals("audit"), [SURE, other])
    said = corrections("accept", "--all", "--yes")
    assert "1 were left out, as another is accepted of the same thing" in said
    assert "before" not in said
    said = corrections("accept", other.id)
    assert f"no longer accepted: {SURE}" in said
    assert "left out" not in said


def test_a_decision_can_be_turned_and_taken_back():
    """What was accepted can be rejected, also where it is no longer proposed, and undone."""
    corrections("accept", SURE.id)
    write_proposals(FOLDER.proposals("audit"), [])
    assert f"rejected: {SURE}" in corrections("reject", SURE.id)
    assert accepted() == set()
    assert f"undone: {SURE}" in corrections("undo", SURE.id)
    assert read_decisions(FOLDER.rejected) == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["accept"], "Expected ids, or --all"),
        (["accept", SURE.id, "--all"], "Expected ids, or --all"),
        (["reject", SURE.id, "--min-score", "0.5"], "filters with --all only"),
        (["accept", "zzz"], "'zzz', which none has"),
        (["accept", "--all"], "4 proposals are to be accepted, found none. Say --yes"),
        (["undo", SURE.id], "which is not decided, or was taken back"),
        (["import"], "captiongen serve --feedback"),
    ],
)
def test_a_call_that_cannot_be_meant_is_refused(arguments: list[str], message: str):
    """Nothing is decided by a call that is not clear."""
    with pytest.raises(UsageError, match=message):
        corrections(*arguments)
    assert accepted() == set()


def test_an_empty_id_is_refused():
    """An unset variable of a script means none, though all ids begin with nothing."""
    with pytest.raises(UsageError, match="found an empty one"):
        corrections("accept", "")
    assert accepted() == set()


def test_an_ambiguous_id_is_refused():
    """What several ids begin with is no id."""
    alike = [drop("a", f"Dog {number} .") for number in range(17)]  # of sixteen digits two must begin alike
    write_proposals(FOLDER.proposals("audit"), alike)
    digits = [one.id[0] for one in alike]
    with pytest.raises(UsageError, match="Expected one id"):
        corrections("accept", max(digits, key=digits.count))


def test_without_proposals_the_list_says_where_they_come_from():
    """A fresh project is told what to do."""
    for source in ("audit", "analysis"):
        write_proposals(FOLDER.proposals(source), [])
    assert corrections("list").startswith("Nothing is proposed.")


@pytest.mark.parametrize(("answer", "expected"), [(b"n\n", set()), (b"y\n", {SURE.id, UNSURE.id})])
def test_whoever_accepts_all_is_told_how_many_and_asked(answer: bytes, expected: set[str]):
    """At a terminal counts by kind come first; nothing is decided before the answer, nor after a no."""
    keyboard, terminal = pty.openpty()
    os.write(keyboard, answer)
    command = [sys.executable, "-m", "captiongen", "corrections", "accept", "--all", "--kind", "drop_caption"]
    said = subprocess.run(command, stdin=terminal, capture_output=True, text=True, timeout=60, check=False).stdout
    os.close(keyboard)
    os.close(terminal)
    assert said.index("2 x drop_caption by audit") < said.index("2 proposals are to be accepted?")
    assert accepted() == expected


def test_a_decision_that_was_taken_back_is_not_decided():
    """A second undo says so, and does not deny the proposal."""
    corrections("reject", SURE.id)
    corrections("undo", SURE.id)
    with pytest.raises(UsageError, match="not decided, or was taken back"):
        corrections("undo", SURE.id)


def test_codes_of_others_reach_no_terminal():
    """Names and reasons are shown with their control codes spelt out."""
    write_proposals(FOLDER.proposals("audit"), [replace(drop("\x1b[2J", "A \x1b[31mdog"), reason="\x1b]0;x\x07")])
    said = corrections("list") + corrections("accept", "--all", "--yes")
    assert "\x1b" not in said
    assert said.count(r"\x1b[2J") == 2


def test_pictures_of_reports_that_are_gone_are_named(tmp_path: Path):
    """What was accepted stays when its report is deleted: purge, delete and import say which, and how it goes."""
    reports = Feedback(FeedbackFolder(tmp_path / ".captiongen" / "feedback"))
    record = reports.keep("A cat .", encode(gradient(), "JPEG"))
    reports.keep("A dog .", encode(gradient(seed=1), "JPEG"))
    made = [proposal for proposal, _ in reported_captions(reports.folder)]
    write_decisions(FOLDER.accepted, [Decision(one, datetime.now(UTC)) for one in (*made, SURE)])
    assert "corrections undo" not in corrections("import")
    said = CliRunner().invoke(app, ["feedback", "delete", record]).output
    assert "1 pictures of reports that are gone were accepted, and stay in corrections/pictures" in said
    assert f"captiongen corrections undo {made[0].id}, then" in said
    assert f"captiongen corrections undo {made[0].id}, then" in corrections("import")
    said = CliRunner().invoke(app, ["feedback", "purge", "--older-than", "0"]).output
    assert f"captiongen corrections undo {' '.join(sorted(one.id for one in made))}, then" in said
    second = replace(made[0], instead="Fur .")
    write_decisions(FOLDER.accepted, [Decision(one, datetime.now(UTC)) for one in (*made, second)])
    said = corrections("import")
    assert "2 pictures of reports that are gone" in said
    assert second.id in said


def test_a_caption_can_be_rewritten():
    """Own words go in its place, whatever was proposed, and nothing more is asked about it."""
    told = corrections("rewrite", SURE.id[:6], "Two dogs in the snow .", "--by", "Ada")
    [decision] = read_decisions(FOLDER.accepted)
    assert (decision.proposal,) == SURE.rewritten("Two dogs in the snow .")
    assert decision.decided_by == "Ada"
    assert "'A dog .' -> 'Two dogs in the snow .'" in told
    assert SURE.id not in corrections("list")


@pytest.mark.parametrize(
    ("name", "caption", "message"),
    [
        (SLICE.id, "Two dogs .", "expected a proposal about one caption, found a weight_images"),
        (SURE.id, "...", "expected a caption with words"),
        (SURE.id, "A dog .", "expected other words than the caption has"),
        (SURE.id, "a dog\x1b[2J", "expected a line of text"),
        ("123", "Two dogs .", "which none has"),
    ],
)
def test_what_cannot_be_rewritten_is_said(name: str, caption: str, message: str):
    """And nothing is decided."""
    with pytest.raises(UsageError, match=message):
        corrections("rewrite", name, caption)
    assert accepted() == set()
