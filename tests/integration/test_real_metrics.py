"""The scorer on real captions, where the archives are."""

import time
from pathlib import Path

import pytest

from captiongen.data.sources import open_source
from captiongen.metrics.report import format_report, score_captions
from captiongen.params import IngestParams

pytestmark = pytest.mark.real_data


def test_people_score_as_the_literature_says(real_data: Path, capsys: pytest.CaptureFixture[str]):
    """Human leave-one-out on the test half is near CIDEr 82 and BLEU-4 21, a constant caption near 10 and below 9."""
    source = open_source(IngestParams(source="flickr8k", path="", name="flickr8k"), real_data)
    references = {item.image_id: item.captions for item in source.items() if item.split == "test"}
    started = time.process_time()
    report = score_captions(
        {image_id: captions[0] for image_id, captions in references.items()},
        references,
        decoding="first reference",
        split_hash="",
        num_resamples=1000,
        seed=0,
    )
    seconds = time.process_time() - started
    with capsys.disabled():
        print(f"\n{format_report(report)}\n{seconds:.1f} CPU seconds")
    assert 75 < report.metrics["cider"].human < 90
    assert 19 < report.metrics["bleu_4"].human < 24
    assert 5 < report.metrics["cider"].floor < 15
    assert report.metrics["bleu_4"].floor < 12
    assert seconds < 20
