"""How well scores order captions of an image by how right they are, without asking people.

    python benchmarks/judge.py --data data/processed --split test --model models/starter

Each image of the split gets captions of falling worth: one of its own people's, the same with one planted error, and
people's captions of three other images, near, middling and far by the cosine of what all five say of both. The own
caption and all references it was written with are kept apart: it is scored by the others.

    tau-c     Kendall's, over all captions of all images, between the score and the worth (own 4, planted 3, near 2,
              middling 1, far 0)
    own       share of pairs, own against near, in which the own caption scores higher (a tie counts half)
    planted   the same, own against planted
    near      the same, near against far

Rows: metrics that captions are usually ranked by; the judge by what it reads in the references (`words`), with the
captioner's likelihood, with the matcher's likeness of captions (`references`), with both and the matcher at the
picture (`all`); then what likelihood, and likelihood and matcher (`picture`), are worth alone. Intervals are of a
bootstrap over images; differences are paired, the same images being drawn for both.
"""

import argparse
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau
from sklearn.feature_extraction.text import TfidfVectorizer
from tqdm import tqdm

from captiongen.analysis.errors.fact_reader import FactReader
from captiongen.analysis.errors.planting import Planter
from captiongen.analysis.judging.grounding import NUM_BACKGROUND, Grounding
from captiongen.analysis.judging.judge import ImageScorer, Judge
from captiongen.data.shards import ProcessedData, decode_row_image, open_processed
from captiongen.metrics.bleu import BleuReferences, bleu_from_statistics, bleu_statistics
from captiongen.metrics.cider import CiderScorer, DocumentFrequencies
from captiongen.metrics.rouge import rouge_l
from captiongen.model.checkpoint import load_captioner
from captiongen.model.matcher import CaptionMatcher
from captiongen.text.normalise import metric_tokens
from captiongen.types import ImageArray, Split

#: A caption to be scored: image, caption, the references it may be held against, its worth.
Candidate = tuple[str, str, Sequence[str], int]
Score = Callable[[str, str, Sequence[str]], float]

_NUM_RESAMPLES = 300


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


def pictures_of(data: ProcessedData, split: Split) -> dict[str, ImageArray]:
    """Returns the prepared pictures of a split by image id."""
    return {row.image_id: decode_row_image(row) for row in data.rows(split)}


def by_picture(graded: Sequence[Candidate], pictures: dict[str, ImageArray], grounding: Grounding) -> Score:
    """Returns what a captioner, or a captioner and a matcher, say at the pictures, all asked at once."""
    captions: dict[str, list[str]] = {}
    for image_id, caption, *_ in graded:
        captions.setdefault(image_id, []).append(caption)
    found: dict[tuple[str, str], float] = {}
    for image_id in tqdm(captions, desc="pictures", unit="image", disable=None):
        found |= grounding.score({image_id: pictures[image_id]}, captions)
    return lambda image_id, caption, _: found[image_id, caption]


def judges(
    references: dict[str, tuple[str, ...]],
    reader: FactReader,
    matcher: CaptionMatcher | None,
    looks: dict[str, Score],
) -> dict[str, Score]:
    """Returns the judge by words, by all that references tell, and each with looks at the picture."""

    def scored(judge: Judge) -> Score:
        def score(image_id: str, caption: str, texts: Sequence[str]) -> float:
            (left_out,) = set(references[image_id]) - set(texts) or {None}
            return judge.judge(image_id, caption, without=left_out).score

        return score

    def looking(look: Score) -> ImageScorer:
        return lambda image_id, caption: look(image_id, caption, ())

    made = {"words": scored(Judge(references, reader))}
    if "likelihood" in looks:
        judge = Judge(references, reader, image_scorer=looking(looks["likelihood"]))
        made["words, likelihood"] = scored(judge)
    if matcher is not None:
        made["references"] = scored(Judge(references, reader, embedder=matcher.embed))
    if matcher is not None and "picture" in looks:
        judge = Judge(references, reader, embedder=matcher.embed, image_scorer=looking(looks["picture"]))
        made["all"] = scored(judge)
    return made


def preferred(scores: Mapping[tuple[str, int], float], better: int, worse: int) -> float:
    """Share of images whose better caption has the higher score."""
    pairs = [
        (score, scores[image_id, worse])
        for (image_id, worth), score in scores.items()
        if worth == better and (image_id, worse) in scores
    ]
    return sum((a > b) + 0.5 * (a == b) for a, b in pairs) / max(1, len(pairs))


def resampled(graded: Sequence[Candidate], *, seed: int) -> list[npt.NDArray[np.intp]]:
    """Returns positions of captions, those of as many images as there are, drawn with replacement."""
    of_image: dict[str, list[int]] = {}
    for position, (image_id, *_) in enumerate(graded):
        of_image.setdefault(image_id, []).append(position)
    images, rng = list(of_image.values()), np.random.default_rng(seed)
    draws = (rng.integers(len(images), size=len(images)) for _ in range(_NUM_RESAMPLES))
    return [np.concatenate([images[i] for i in drawn]) for drawn in draws]


def tau(values: npt.NDArray[np.float64], worths: npt.NDArray[np.int64]) -> float:
    """Kendall's tau-c, times 100."""
    return 100 * float(kendalltau(values, worths, variant="c").statistic)


def report(graded: Sequence[Candidate], scores: dict[str, Score], *, against: str, seed: int) -> None:
    """Prints one line a score, with its difference to the score named `against`."""
    worths, draws = np.array([worth for *_, worth in graded]), resampled(graded, seed=seed)
    values, seconds = {}, {}
    for name, score in scores.items():
        started = time.process_time()
        values[name] = np.array([score(image_id, caption, texts) for image_id, caption, texts, _ in graded])
        seconds[name] = time.process_time() - started
    drawn = {name: np.array([tau(of_score[draw], worths[draw]) for draw in draws]) for name, of_score in values.items()}
    more = f"more than {against}"
    print(f"{'score':<18} {'tau-c':>5} {'95 %':>14} {more:>22} {'own':>6} {'planted':>7} {'near':>6} {'ms':>6}")
    for name, of_score in values.items():
        by_worth = {(image_id, worth): value for (image_id, _, _, worth), value in zip(graded, of_score, strict=True)}
        shares = " ".join(f"{preferred(by_worth, *pair):>6.1%}" for pair in ((4, 2), (4, 3), (2, 0)))
        difference = "" if name == against else interval(drawn[name] - drawn[against], sign="+")
        ms = 1000 * seconds[name] / len(graded)
        print(
            f"{name:<18} {tau(of_score, worths):>5.1f} {interval(drawn[name]):>14} {difference:>22} {shares} {ms:>7.2f}"
        )
    print(f"{len(graded)} captions of {len({image_id for image_id, *_ in graded})} images")


def interval(drawn: npt.NDArray[np.float64], *, sign: str = "") -> str:
    """Returns the 95 % percentile interval of resampled values, behind their mean where a sign is asked for."""
    low, high = np.percentile(drawn, (2.5, 97.5))
    mean = f"{drawn.mean():{sign}.1f} " if sign else ""
    return f"{mean}[{low:{sign}.1f}, {high:{sign}.1f}]"


def main() -> None:
    """Scores the graded captions with every score, and prints one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="processed data folder")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--num-images", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", type=Path, help="captioner folder that looks at the pictures")
    parser.add_argument("--against", default="words", help="row that differences are to")
    options = parser.parse_args()
    data = open_processed(options.data)
    references = data.references(options.split)
    reader = FactReader()
    planter = Planter([text for texts in list(references.values())[:300] for text in texts], reader)
    graded = candidates(references, planter, reader, num_images=options.num_images, seed=options.seed)
    looks: dict[str, Score] = {}
    matcher = None
    if options.model:
        loaded, pictures = load_captioner(options.model), pictures_of(data, options.split)
        matcher = loaded.captioner.matcher
        background = dict(list(pictures.items())[:NUM_BACKGROUND])
        looks["likelihood"] = by_picture(graded, pictures, Grounding(loaded, background))
        if matcher is not None:
            looks["picture"] = by_picture(graded, pictures, Grounding(loaded, background, matcher=matcher))
    scores = baselines(references) | judges(references, reader, matcher, looks) | looks
    report(graded, scores, against=options.against, seed=options.seed)


if __name__ == "__main__":
    main()
