"""METEOR in the report, with Java itself."""

import pytest

from captiongen.metrics.meteor import meteor_jar
from captiongen.metrics.report import score_captions

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(meteor_jar() is None, reason="METEOR needs Java and pycocoevalcap"),
]


def test_meteor_stands_beside_the_other_metrics():
    """Asked for, METEOR gets its value, interval, human ceiling and floor like every metric."""
    references = {f"{number}": [f"a {word} dog runs", f"one {word} dog"] for number, word in enumerate(["red", "big"])}
    hypotheses = {"0": "a red dog runs", "1": "two cats"}
    report = score_captions(
        hypotheses, references, decoding="", split_hash="", num_resamples=100, seed=0, with_meteor=True
    )
    meteor = report.metrics["meteor"]
    assert meteor.low <= meteor.value <= meteor.high <= 100
    assert meteor.low < meteor.high
    assert meteor.human is not None
    assert 0 < meteor.human <= 100
    assert 0 < meteor.floor <= 100
