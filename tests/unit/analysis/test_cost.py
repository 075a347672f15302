"""What errors cost."""

import pytest
from evaluated import captioned, hypothesis, scored

from captiongen.analysis.cost import error_costs
from captiongen.analysis.errors.caption_error import ErrorType
from captiongen.analysis.errors.fact_reader import FactReader
from captiongen.analysis.judging.judge import Judge
from captiongen.analysis.judging.ranking import judge_captions
from captiongen.metrics.cider import corpus_cider
from captiongen.types import Captions

REFERENCES: Captions = {
    "dog": ("a brown dog runs on the beach", "a brown dog on the sand"),
    "cat": ("a white cat sleeps on a bed", "a white cat lies on the bed"),
    "man": ("two men ride bicycles down a street", "two men on bicycles"),
    "boat": ("a red boat on a lake", "a red boat floats on the lake"),
}
SAID = {
    "dog": "a black dog runs on the beach",
    "cat": "a white cat sleeps on a bed",
    "man": "two men ride bicycles down a street",
    "boat": "a green boat on a lake",
}
MENDED = SAID | {"dog": "a brown dog runs on the beach", "boat": "a red boat on a lake"}


def judged(reader: FactReader, said: dict[str, str]):
    images = [captioned(name, hypothesis(said[name]), references=texts) for name, texts in REFERENCES.items()]
    return judge_captions(images, [scored(name, 50.0) for name in said], Judge(REFERENCES, reader))


def test_a_type_costs_the_cider_that_mending_all_of_it_brings(reader: FactReader):
    """The gain is the difference of the split's CIDEr-D with these words exchanged and nothing else."""
    costs = {cost.type: cost for cost in error_costs(judged(reader, SAID), reader, num_resamples=100, seed=0)}
    expected = corpus_cider(MENDED, REFERENCES) - corpus_cider(SAID, REFERENCES)
    assert costs[ErrorType.COLOUR].gain.mean == pytest.approx(expected)
    assert costs[ErrorType.COLOUR].gain.low <= expected <= costs[ErrorType.COLOUR].gain.high
    assert (costs[ErrorType.COLOUR].num_captions, costs[ErrorType.COLOUR].num_errors) == (2, 2)
    assert costs[None].gain.mean >= expected


def test_captions_without_errors_cost_nothing(reader: FactReader):
    """Where nothing is named nothing is priced; the row of all types says so."""
    (together,) = error_costs(judged(reader, MENDED), reader, num_resamples=100, seed=0)
    assert together.type is None
    assert together.num_errors == 0
    assert together.gain is None
