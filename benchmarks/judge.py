"""How well scores order captions of an image by how right they are, without asking people.

    python benchmarks/judge.py --data data/processed

Each image of the split gets captions of falling worth: one of its own people's, the same with one planted error, and
people's captions of three other images, near, middling and far by the cosine of what all five say of both. The own
caption and all references it was written with are kept apart: it is scored by the others.

    tau-c     Kendall's, over all captions of all images, between the score and the worth (own 4, planted 3, near 2,
              middling 1, far 0)
    own       share of pairs, own against near, in which the own caption scores higher (a tie counts half)
    planted   the same, own against planted
    near      the same, near against far
"""

import argparse
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau
from sklearn.feature_extraction.text import TfidfVectorizer

from captiongen.analysis.facts import FactReader
from captiongen.analysis.judge import Judge
from captiongen.analysis.planting import Planter
from captiongen.data.shards import open_processed
from captiongen.metrics.bleu import BleuReferences, bleu_from_statistics, bleu_statistics
from captiongen.metrics.cider import CiderScorer, DocumentFrequencies
from captiongen.metrics.rouge import rouge_l
from captiongen.text.normalise import metric_tokens

#: A caption to be scored: image, caption, the references it may be held against, its worth.
Candidate = tuple[str, str, Sequence[str], int]
Score = Callable[[str, str, Sequence[str]], float]


def candidates(
    references: dict[str, tuple[str, ...]], planter: Planter, reader: FactReader, *, num_images: int, seed: int
) -> list[Candidate]:
    """Returns captions of graded worth."""
    rng, image_ids = random.Random(seed), list(references)
    vectors = TfidfVectorizer(stop_words="english").fit_transform([" ".join(references[one]) for one in image_ids])
    found: list[Candidate] = []
    for index in rng.sample(range(len(image_ids)), min(num_images, len(image_ids))):
        own = list(references[image_ids[index]])
        held_out = own.pop(rng.randrange(len(own)))
        known = {word.lemma for one in own for word in reader.read(one).words}
        kinds = rng.sample(planter.types, len(planter.types))
        planted = next(filter(None, (planter.plant(held_out, kind, rng, avoid=known) for kind in kinds)), None)
        order = np.argsort(-(vectors @ vectors[index].T).toarray()[:, 0], kind="stable")
        others = [order[1], order[len(order) // 20], order[-1 - rng.randrange(len(order) // 2)]]
        texts = [held_out, *([planted.caption] if planted else [])]
        worths = [4, 3] if planted else [4]
        texts += [rng.choice(references[image_ids[other]]) for other in others]
        found += [(image_ids[index], text, own, worth) for text, worth in zip(texts, [*worths, 2, 1, 0], strict=True)]
    return found


def baselines(references: dict[str, tuple[str, ...]]) -> dict[str, Score]:
    """Returns the metrics that captions are usually ranked by."""
    tokens = {image_id: [metric_tokens(text) for text in texts] for image_id, texts in references.items()}
    frequencies = DocumentFrequencies.of(tokens)

    def bleu_4(_: str, caption: str, texts: Sequence[str]) -> float:
        statistics = bleu_statistics(metric_tokens(caption), BleuReferences.of([metric_tokens(text) for text in texts]))
        return float(bleu_from_statistics(np.array([statistics]))[0, -1])

    def rouge(_: str, caption: str, texts: Sequence[str]) -> float:
        return rouge_l(metric_tokens(caption), [metric_tokens(text) for text in texts])

    def cider_d(_: str, caption: str, texts: Sequence[str]) -> float:
        scorer = CiderScorer({"": [metric_tokens(text) for text in texts]}, document_frequencies=frequencies)
        return scorer.score("", metric_tokens(caption))

    def unigram_f(_: str, caption: str, texts: Sequence[str]) -> float:
        """METEOR without its stems, synonyms and chunks: the best harmonic mean, recall weighing nine times as much."""
        ours, best = set(metric_tokens(caption)), 0.0
        for theirs in (set(metric_tokens(text)) for text in texts):
            if common := len(ours & theirs):
                precision, recall = common / len(ours), common / len(theirs)
                best = max(best, 10 * precision * recall / (recall + 9 * precision))
        return best

    return {"BLEU-4": bleu_4, "ROUGE-L": rouge, "METEOR-like": unigram_f, "CIDEr-D": cider_d}


def preferred(scores: dict[tuple[str, int], float], better: int, worse: int) -> float:
    """Share of images whose better caption has the higher score."""
    pairs = [
        (score, scores[image_id, worse])
        for (image_id, worth), score in scores.items()
        if worth == better and (image_id, worse) in scores
    ]
    return sum((a > b) + 0.5 * (a == b) for a, b in pairs) / max(1, len(pairs))


def main() -> None:
    """Scores the graded captions with every score, and prints one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="processed data folder")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--num-images", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    references = open_processed(options.data).references(options.split)
    reader = FactReader()
    planter = Planter([text for texts in list(references.values())[:300] for text in texts], reader)
    graded = candidates(references, planter, reader, num_images=options.num_images, seed=options.seed)
    judge = Judge(references, reader)
    parts = {name: {} for name in ("content", "gist")}

    def judged(image_id: str, caption: str, texts: Sequence[str]) -> float:
        (left_out,) = set(references[image_id]) - set(texts) or {None}
        found = judge.judge(image_id, caption, without=left_out)
        parts["content"][image_id, caption], parts["gist"][image_id, caption] = found.content, found.gist
        return found.score

    scores: dict[str, Score] = baselines(references) | {
        "judge": judged,
        "its content": lambda image_id, caption, _: parts["content"][image_id, caption],
        "its gist": lambda image_id, caption, _: parts["gist"][image_id, caption],
    }
    print(f"{'score':<12} {'tau-c':>6} {'own':>6} {'planted':>8} {'near':>6} {'ms':>6}")
    worths = [worth for *_, worth in graded]
    for name, score in scores.items():
        started = time.process_time()
        values = [score(image_id, caption, texts) for image_id, caption, texts, _ in graded]
        seconds = time.process_time() - started
        tau = kendalltau(values, worths, variant="c").statistic
        by_worth = {(image_id, worth): value for (image_id, _, _, worth), value in zip(graded, values, strict=True)}
        shares = [preferred(by_worth, *pair) for pair in ((4, 2), (4, 3), (2, 0))]
        print(
            f"{name:<12} {100 * tau:>6.1f} "
            + " ".join(f"{share:>6.1%}" for share in shares)
            + f" {1000 * seconds / len(graded):>7.2f}"
        )
    print(f"{len(graded)} captions of {options.num_images} images")


if __name__ == "__main__":
    main()
