"""Writes metrics_golden.json: what pycocoevalcap 1.2 says of the made-up captions beside it.

Run it from the project's root with the dev requirements installed: ``python tests/golden/make_metrics_golden.py``.
Java is used for METEOR alone, which is left out where there is none.
"""

import json
import shutil
from pathlib import Path

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge

from captiongen.text.normalise import metric_tokens

FOLDER = Path(__file__).parent


def read_captions() -> list[list[str]]:
    """Returns the caption file's images: the hypothesis first, then the references."""
    text = (FOLDER / "metrics_captions.txt").read_text(encoding="utf-8")
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith(">")]
    return [[lines[0].removeprefix(">"), *lines[1:]] for lines in blocks]


def score(images: list[list[str]]) -> dict[str, dict[str, object]]:
    """Returns metric -> corpus value and values per image, in coco-caption's own scale."""
    hypotheses = {number: [captions[0]] for number, captions in enumerate(images)}
    references = {number: captions[1:] for number, captions in enumerate(images)}
    bleu, bleu_per_image = Bleu(4).compute_score(references, hypotheses, verbose=0)
    scores: dict[str, dict[str, object]] = {
        f"bleu_{order}": {"corpus": float(bleu[order - 1]), "per_image": bleu_per_image[order - 1]}
        for order in (1, 2, 3, 4)
    }
    scorers = {"rouge_l": Rouge(), "cider": Cider()} | ({"meteor": Meteor()} if shutil.which("java") else {})
    for name, scorer in scorers.items():
        corpus, per_image = scorer.compute_score(references, hypotheses)
        scores[name] = {"corpus": float(corpus), "per_image": [float(value) for value in per_image]}
    return scores


def main() -> None:
    """Writes the golden file."""
    images = [[" ".join(metric_tokens(caption)) for caption in captions] for captions in read_captions()]
    golden = {"tokens": images, "scores": score(images)}
    content = json.dumps(golden, indent=1, ensure_ascii=False) + "\n"
    (FOLDER / "metrics_golden.json").write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
