"""Our metrics against pycocoevalcap 1.2 on the same tokens: the golden file, and the package itself where installed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from captiongen.metrics.bleu import BleuReferences, bleu_from_statistics, bleu_statistics
from captiongen.metrics.cider import CiderScorer
from captiongen.metrics.cider_metric import CiderD
from captiongen.metrics.meteor import Meteor, meteor_jar
from captiongen.metrics.rouge import rouge_l

GOLDEN = json.loads((Path(__file__).parent / "metrics_golden.json").read_text(encoding="utf-8"))
IMAGES = [[caption.split() for caption in captions] for captions in GOLDEN["tokens"]]
PERCENT = 100.0
TOLERANCE = 1e-9


def _corpus(name: str) -> float:
    return GOLDEN["scores"][name]["corpus"] * PERCENT


def _per_image(name: str) -> np.ndarray:
    return np.array(GOLDEN["scores"][name]["per_image"]) * PERCENT


def _bleu_statistics() -> np.ndarray:
    return np.array([bleu_statistics(hypothesis, BleuReferences.of(others)) for hypothesis, *others in IMAGES])


def _cider() -> np.ndarray:
    scorer = CiderScorer({str(number): others for number, (_, *others) in enumerate(IMAGES)})
    return scorer.score_all([str(number) for number in range(len(IMAGES))], [image[0] for image in IMAGES])


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_bleu_equals_coco_caption(order: int):
    """Corpus and per-image BLEU are coco-caption's to 1e-9, also for empty, one-word and repetitive captions."""
    statistics, name = _bleu_statistics(), f"bleu_{order}"
    assert bleu_from_statistics(statistics.sum(axis=0))[order - 1] == pytest.approx(_corpus(name), abs=TOLERANCE)
    np.testing.assert_allclose(bleu_from_statistics(statistics)[:, order - 1], _per_image(name), rtol=0, atol=TOLERANCE)


def test_rouge_l_equals_coco_caption():
    """ROUGE-L is coco-caption's to 1e-9, image by image."""
    ours = [rouge_l(hypothesis, others) for hypothesis, *others in IMAGES]
    np.testing.assert_allclose(ours, _per_image("rouge_l"), rtol=0, atol=TOLERANCE)
    assert np.mean(ours) == pytest.approx(_corpus("rouge_l"), abs=TOLERANCE)


def test_cider_equals_coco_caption():
    """CIDEr-D is coco-caption's to 1e-9, image by image."""
    np.testing.assert_allclose(_cider(), _per_image("cider"), rtol=0, atol=TOLERANCE)
    assert _cider().mean() == pytest.approx(_corpus("cider"), abs=TOLERANCE)


def test_the_torchmetrics_metric_equals_coco_caption():
    """CiderD gives coco-caption's values when the images come in batches."""
    metric = CiderD()
    texts = GOLDEN["tokens"]
    for batch in (texts[:1], texts[1:17], texts[17:]):
        metric.update([image[0] for image in batch], [image[1:] for image in batch])
    np.testing.assert_allclose(metric.compute_per_image().numpy(), _per_image("cider"), rtol=0, atol=TOLERANCE)
    assert float(metric.compute()) == pytest.approx(_corpus("cider"), abs=TOLERANCE)


def test_torchmetrics_bleu_departs_from_coco_caption_on_ties_of_length():
    """BLEUScore follows the order of the references; sorted by length, in double precision, it agrees with ours."""
    from torchmetrics.text import BLEUScore

    def theirs(images: list[list[str]]) -> float:
        metric = BLEUScore().set_dtype(torch.float64)
        metric.update([image[0] for image in images], [image[1:] for image in images])
        return float(metric.compute()) * PERCENT

    short_first = [
        [hypothesis, *sorted(others, key=lambda text: len(text.split()))] for hypothesis, *others in _texts()
    ]
    long_first = [[image[0], *image[:0:-1]] for image in short_first]
    assert theirs(short_first) == pytest.approx(_corpus("bleu_4"), abs=1e-6)
    assert abs(theirs(long_first) - _corpus("bleu_4")) > 0.01


def test_torchmetrics_rouge_is_another_metric():
    """ROUGEScore's ROUGE-L differs from coco-caption's under both of its ways to join references."""
    from torchmetrics.text.rouge import ROUGEScore

    for accumulate in ("best", "avg"):
        metric = ROUGEScore(rouge_keys="rougeL", accumulate=accumulate, normalizer=str, tokenizer=str.split)
        metric.update([image[0] for image in _texts()], [image[1:] for image in _texts()])
        theirs = float(metric.compute()["rougeL_fmeasure"]) * PERCENT
        assert abs(theirs - _corpus("rouge_l")) > 0.1


@pytest.mark.skipif(meteor_jar() is None, reason="METEOR needs Java and pycocoevalcap")
def test_meteor_equals_coco_caption():
    """METEOR is the jar's own, image by image, and for the corpus from summed statistics, as a resample needs it."""
    with Meteor() as meteor:
        statistics = np.array([meteor.statistics(hypothesis, others) for hypothesis, *others in IMAGES])
        np.testing.assert_allclose(meteor.scores(statistics)[:, 0], _per_image("meteor"), rtol=0, atol=TOLERANCE)
        corpus = meteor.scores(statistics.sum(axis=0, keepdims=True))[0, 0]
    assert corpus == pytest.approx(_corpus("meteor"), abs=TOLERANCE)


def test_pycocoevalcap_itself_still_says_so():
    """The installed pycocoevalcap gives the golden values, and so do we on its tokens."""
    pytest.importorskip("pycocoevalcap", reason="pycocoevalcap is not installed")
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    hypotheses = {number: [image[0]] for number, image in enumerate(_texts())}
    references = {number: image[1:] for number, image in enumerate(_texts())}
    _, cider = Cider().compute_score(references, hypotheses)
    _, rouge = Rouge().compute_score(references, hypotheses)
    np.testing.assert_allclose(_cider(), np.array(cider) * PERCENT, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(_per_image("rouge_l"), np.array(rouge) * PERCENT, rtol=0, atol=TOLERANCE)


def _texts() -> list[list[str]]:
    return GOLDEN["tokens"]
