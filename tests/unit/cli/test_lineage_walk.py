"""The lineage of a served answer begins with an answer, not with something like one."""

import json
from pathlib import Path

import pytest

from captiongen.cli.layout import Layout
from captiongen.cli.lineage_walk import read_answer, walk
from captiongen.errors import UsageError
from captiongen.params import load_params

CARD = {"name": "captiongen", "version": "1", "run_id": "r", "data_hash": "d", "bento": "captiongen:1"}


@pytest.mark.parametrize(
    "answer",
    ["", "[]", "{}", "nonsense", "[" * 100_000, json.dumps({"model": []}), json.dumps({"model": CARD | {"bento": 5}})],
)
def test_what_is_no_answer_vouches_for_nothing(project: Path, answer: str):
    """An empty file, another document, or an answer without its model's card is refused before anything is checked."""
    layout = Layout(project)
    with pytest.raises(UsageError, match="answer"):
        list(walk(layout, load_params(layout.params), uri=None, answer=answer))


def test_an_answer_that_cannot_be_read_is_named(tmp_path: Path):
    """A missing file, a folder, and bytes that are no text are errors that name the path."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "binary"):
        with pytest.raises(UsageError, match=path.name) as caught:
            read_answer(path)
        assert "Errno" not in str(caught.value)
