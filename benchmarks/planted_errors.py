"""How well errors are found and named: one is planted in a human caption, and the finder does not know which.

    python benchmarks/planted_errors.py --data data/processed                           # other people as references
    python benchmarks/planted_errors.py --data data/processed --truth data/raw/scenes   # the drawn truth as references

Without `--truth` one human caption of each image is held out, changed, and compared with the others: people leave
things out, so what nobody else says may be true. With it the references are all that can truly be said of the scene.

    planted   captions in which the type could be planted
    recall    share of them in which it was found, by its name and at its words
    precision share of all reports of the type, over planted and untouched captions, that are of what was planted
    alarms    share of untouched captions with a report of the type
"""

import argparse
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from captiongen.analysis.errors.caption_error import CaptionError, ErrorType
from captiongen.analysis.errors.corpus import CaptionCorpus
from captiongen.analysis.errors.fact_reader import FactReader
from captiongen.analysis.errors.planting import Planted, Planter
from captiongen.analysis.errors.scene_statements import true_statements
from captiongen.analysis.errors.taxonomy import find_errors
from captiongen.data.scenes.dataset import read_truth
from captiongen.data.shards import open_processed

_SAME = {ErrorType.HALLUCINATED_OBJECT: ErrorType.WRONG_OBJECT}  # which of the two depends on what others name


def cases(options: argparse.Namespace, rng: random.Random) -> Iterator[tuple[str, Sequence[str]]]:
    """Yields captions that are right, with references that do not hold them."""
    captions = open_processed(options.data).references(options.split)
    truths = read_truth(options.truth) if options.truth else {}
    for image_id in rng.sample(sorted(captions), min(options.num_images, len(captions))):
        own = list(captions[image_id])
        held_out = own.pop(rng.randrange(len(own)))
        yield held_out, true_statements(truths[image_id], num_rounds=options.num_rounds) if truths else own


def is_found(planted: Planted, errors: Sequence[CaptionError]) -> bool:
    """Whether one of the errors has the planted type and concerns a planted word."""
    return any(
        _SAME.get(error.type, error.type) is planted.type and set(error.positions) & set(planted.positions)
        for error in errors
    )


def main() -> None:
    """Plants, finds, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="processed data folder")
    parser.add_argument("--truth", type=Path, help="raw folder of the scenes data set")
    parser.add_argument("--split", default="test")
    parser.add_argument("--num-images", type=int, default=250)
    parser.add_argument("--num-train", type=int, default=1000, help="training images that offer words to exchange")
    parser.add_argument("--num-rounds", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=0, help="print so many misses and false alarms")
    options = parser.parse_args()
    rng, reader = random.Random(options.seed), FactReader()
    train = open_processed(options.data).references("train")
    some = dict(list(train.items())[: options.num_train])
    corpus = None if options.truth else CaptionCorpus.of(some, reader)
    planter = Planter([caption for captions in some.values() for caption in captions], reader)
    planted, found, reports, alarms = (
        Counter[ErrorType](),
        Counter[ErrorType](),
        Counter[ErrorType](),
        Counter[ErrorType](),
    )
    shown, started, num_captions = 0, time.process_time(), 0
    for caption, references in cases(options, rng):
        num_captions += 1
        known = {word.lemma for one in references for word in reader.read(one).words}
        untouched = {
            _SAME.get(error.type, error.type): error
            for error in find_errors(caption, references, reader, corpus=corpus)
        }
        alarms.update(untouched.keys())
        reports.update(untouched.keys())
        if shown < options.show and set(untouched) - {ErrorType.MISSING_OBJECT}:
            shown += 1
            print("ALARM", caption, [(error.type.value, error.said, error.instead) for error in untouched.values()])
        for kind in planter.types:
            if (changed := planter.plant(caption, kind, rng, avoid=known)) is None:
                continue
            errors = find_errors(changed.caption, references, reader, corpus=corpus)
            planted[kind] += 1
            # What was there before the change is counted above, once.
            new = {_SAME.get(error.type, error.type) for error in errors} - untouched.keys()
            reports.update(new)
            if is_found(changed, errors):
                found[kind] += 1
                reports[kind] += kind not in new
            elif shown < options.show:
                shown += 1
                print("MISS", kind.value, changed, [(error.type.value, error.said) for error in errors])
    seconds = (time.process_time() - started) / max(1, num_captions + planted.total())
    print(f"{'type':<14} {'planted':>7} {'recall':>7} {'precision':>9} {'alarms':>7}")
    for kind in planter.types:
        recall = found[kind] / max(1, planted[kind])
        precision = found[kind] / max(1, reports[kind])
        print(
            f"{kind.value:<14} {planted[kind]:>7} {recall:>7.1%} {precision:>9.1%} {alarms[kind] / num_captions:>7.1%}"
        )
    print(f"{num_captions} captions, {1000 * seconds:.1f} ms a caption and its references")


if __name__ == "__main__":
    main()
