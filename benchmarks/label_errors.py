"""How many captions made wrong on purpose `audit` finds, and how many it accuses wrongly.

    python benchmarks/label_errors.py --project . --work .captiongen/corrected --shares 0.1 0.3

The captioner is the one of `corrected_training.py` (trained here if it is not there yet): it learned the wrong captions
with the others. What that costs shows beside it: the same captions, seen by a captioner that learned the right ones.

    recall     of each kind, found as any kind
    named      share of those found whose kind is named right
    precision  of the captions said to be of this kind, the share made wrong in any way
    owner      of the swapped captions found, the share given to the image that they are of;
               then the same among those that were given to any
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from corrected_training import Experiment
from corruption import KINDS, Corrupted, corrupt

from captiongen.analysis.labels.suspects import Suspect


def tell(title: str, suspects: Sequence[Suspect], wrong: Corrupted) -> None:
    """Prints the table of one audit."""
    found = {(one.image_id, one.place): one for one in suspects if one.kind != "unlikely"}
    for threshold in (0.3, 0.5, 0.8):
        sure = {key: one for key, one in found.items() if one.probability >= threshold}
        right = sum(key in wrong.kinds for key in sure)
        print(
            f"{title}, probability >= {threshold}: {len(sure):,} suspects, precision {right / max(1, len(sure)):.3f}, "
            f"recall {right / len(wrong.kinds):.3f}"
        )
        for kind in KINDS:
            of_kind = [key for key, made in wrong.kinds.items() if made == kind]
            hits = [sure[key] for key in of_kind if key in sure]
            accused = [key for key, one in sure.items() if one.kind == kind]
            print(
                f"  {kind:<11} recall {len(hits) / max(1, len(of_kind)):.3f}"
                f"  named {sum(one.kind == kind for one in hits) / max(1, len(hits)):.3f}"
                f"  precision {sum(key in wrong.kinds for key in accused) / max(1, len(accused)):.3f}"
            )
        swapped = [one for key, one in sure.items() if key in wrong.owners]
        given = [one for one in swapped if one.belongs_to is not None]
        right_owner = sum(wrong.owners[one.image_id, one.place] == one.belongs_to for one in given)
        print(
            f"  owner {right_owner / max(1, len(swapped)):.3f}, of those given {right_owner / max(1, len(given)):.3f}"
        )


def main() -> None:
    """Audits corrupted captions, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True, help="project folder")
    parser.add_argument("--work", type=Path, required=True, help="where to keep what is made")
    parser.add_argument("--num-images", type=int, default=6000, help="of the train split")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.3])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    experiment = Experiment(options.project, options.work, num_images=options.num_images)
    for share in options.shares:
        wrong, name = corrupt(experiment.captions, share=share, seed=options.seed), f"corrupted-{share}-{options.seed}"
        learned = experiment.train(name, wrong.captions, seed=options.seed)
        tell(f"{share:.0%} wrong, learned", experiment.audit(name, learned).audits["train"].suspects, wrong)
        clean = experiment.train(f"clean-{options.seed}", experiment.captions, seed=options.seed)
        found = experiment.audit(name, clean, out="audit-by-clean").audits["train"].suspects
        tell(f"{share:.0%} wrong, not learned", found, wrong)


if __name__ == "__main__":
    main()
