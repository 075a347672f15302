"""METEOR where its process is missing."""

from pathlib import Path

import pytest

from captiongen.errors import ServiceError
from captiongen.metrics.meteor import Meteor, meteor_jar


def test_without_java_meteor_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """With no Java on the path there is no jar to run, and asking for METEOR says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert meteor_jar() is None
    with pytest.raises(ServiceError, match="Java and the package pycocoevalcap"):
        Meteor()


def test_a_process_that_dies_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A Java that ends at once, for lack of memory say, is reported and does not hang."""
    pytest.importorskip("pycocoevalcap", reason="pycocoevalcap brings the jar")
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\nexit 1\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with Meteor() as meteor, pytest.raises(ServiceError, match="ended early"):
        meteor.statistics(["a", "dog"], [["a", "dog"]])
