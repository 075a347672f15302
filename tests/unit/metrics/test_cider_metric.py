"""CIDEr-D as a torchmetrics Metric, in one process."""

import pytest
import torch

from captiongen.errors import DataError
from captiongen.metrics.cider import DocumentFrequencies, corpus_cider
from captiongen.metrics.cider_metric import CiderD

HYPOTHESES = {"1": "A dog runs.", "2": "", "3": "two cats: sit!", "4": "ein Mädchen läuft"}
REFERENCES = {
    "1": ["A dog runs fast.", "The dog."],
    "2": ["Nothing."],
    "3": ["Two cats sit.", "Cats"],
    "4": ["ein Mädchen läuft weg"],
}


def _updated(metric: CiderD, image_ids: list[str]) -> CiderD:
    metric.update([HYPOTHESES[i] for i in image_ids], [REFERENCES[i] for i in image_ids])
    return metric


def test_batches_give_the_corpus_value():
    """Updates in parts and out of order give what `corpus_cider` gives for the whole."""
    metric = _updated(_updated(CiderD(), ["3", "1"]), ["4", "2"])
    assert float(metric.compute()) == pytest.approx(corpus_cider(HYPOTHESES, REFERENCES), abs=1e-9)


def test_reset_forgets():
    """After `reset` only what comes later counts."""
    metric = _updated(CiderD(), ["2", "2"])
    metric.reset()
    assert float(_updated(metric, list(REFERENCES)).compute()) == pytest.approx(
        corpus_cider(HYPOTHESES, REFERENCES), abs=1e-9
    )


def test_state_survives_saving():
    """A metric whose state is persistent goes on from a state dict."""
    metric = _updated(CiderD(), ["1", "2", "3"])
    metric.persistent(True)
    other = CiderD()
    other.persistent(True)
    other.load_state_dict(metric.state_dict())
    torch.testing.assert_close(_updated(other, ["4"]).compute(), _updated(metric, ["4"]).compute())


def test_fixed_frequencies_are_used():
    """Frequencies given from outside change the value of a small set."""
    frequencies = DocumentFrequencies.of({str(number): [["a", "dog"]] for number in range(50)})
    assert float(_updated(CiderD(frequencies), ["1", "3"]).compute()) != pytest.approx(
        float(_updated(CiderD(), ["1", "3"]).compute()), abs=1e-3
    )


def test_nothing_to_score_is_an_error():
    """No image, or an image without references, is an error and not a zero."""
    with pytest.raises(DataError, match="no images"):
        CiderD().compute_per_image()
    with pytest.raises(DataError, match="at least one reference"):
        CiderD().update(["a dog"], [[]])
    with pytest.raises(DataError, match="found 2 hypotheses"):
        CiderD().update(["a dog", "a cat"], [["a dog"]])
