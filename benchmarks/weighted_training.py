"""Whether showing failing slices more often mends them, and what it costs elsewhere.

    python benchmarks/weighted_training.py --project . --work .captiongen/weighted

A captioner is trained and its captions of dev are analysed; what the analysis proposes, the training images of each
failing slice shown twice an epoch, is accepted, and a second captioner trained with the same seed, settings and number
of epochs, which are longer by what is shown twice. Both caption the test split, which chose nothing: CIDEr-D on images
of those slices, and on the rest, with paired intervals.

A rerun goes on where the last one ended.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from corrected_training import Experiment

from captiongen.analysis.errors.fact_reader import FactReader
from captiongen.analysis.slicing.properties import text_properties
from captiongen.data.corrections import read_proposals
from captiongen.data.shards import open_processed, write_sampling_weights
from captiongen.evaluation import write_evaluation
from captiongen.inference import CaptionEngine, caption_split
from captiongen.metrics.interval import paired_bootstrap
from captiongen.params import AnalyseParams, EvaluateParams
from captiongen.stages.analyse import analyse


def propose(experiment: Experiment, project: Path, folder: Path) -> Path:
    """Analyses the captions of dev by the captioner in a folder; returns the file of proposals."""
    proposals = folder / "proposals.jsonl"
    if not proposals.is_file():
        engine = CaptionEngine.load(folder / "captioner")
        data = open_processed(project / "data" / "processed")
        write_evaluation(
            tuple(caption_split(engine, data, "dev", batch_size=32)),
            engine.manifest,
            EvaluateParams(),
            split="dev",
            split_hash=data.split_hashes["dev"],
            out_folder=folder / "evaluation",
        )
        analyse(
            AnalyseParams(),
            model_folder=folder / "captioner",
            evaluation_folder=folder / "evaluation",
            data_folder=project / "data" / "processed",
            manifest=project / "data" / "interim" / "manifest.parquet",
            split="dev",
            state_folder=folder / "state",
            out_folder=folder / "analysis",
            proposals=proposals,
        )
    return proposals


def main() -> None:
    """Trains and scores what is not there yet, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True, help="project folder")
    parser.add_argument("--work", type=Path, required=True, help="where to keep what is made")
    parser.add_argument("--num-images", type=int, default=6000, help="of the train split")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    experiment = Experiment(options.project, options.work, num_images=options.num_images)
    plain, weighted = f"clean-{options.seed}", f"weighted-{options.seed}"
    experiment.train(plain, experiment.captions, seed=options.seed)
    proposals = read_proposals(propose(experiment, options.project, options.work / plain))
    weights = {
        image_id: proposal.weight or 1.0
        for proposal in proposals
        for image_id in proposal.image_ids
        if image_id in experiment.captions
    }
    print("\n".join(proposal.reason for proposal in proposals))
    print(f"{len(weights)} of {len(experiment.captions)} training images are shown twice")
    experiment.prepare(weighted, experiment.captions)
    write_sampling_weights(options.work / weighted / "processed", weights)
    experiment.train(weighted, experiment.captions, seed=options.seed)

    test = open_processed(options.project / "data" / "processed").references("test")
    before, after = (np.array([experiment.score(name)[image_id] for image_id in test]) for name in (plain, weighted))
    members = text_properties(test, FactReader())
    summary = json.loads((options.work / plain / "analysis" / "findings.json").read_text(encoding="utf-8"))
    named = [tuple(one["properties"]) for one in summary["worse_slices"]]
    masks = {str(name): mask for name, mask in members.items()}
    inside = np.zeros(len(test), dtype=bool)
    for properties in named:
        if all(name in masks for name in properties):
            mask = np.logical_and.reduce([masks[name] for name in properties])
            inside |= mask
            tell(" and ".join(properties), after[mask], before[mask])
    tell("all of these slices", after[inside], before[inside])
    tell("the rest", after[~inside], before[~inside])
    tell("all images", after, before)


def tell(title: str, after: np.ndarray, before: np.ndarray) -> None:
    """Prints the paired difference of CIDEr-D."""
    if not len(after):
        return
    found = paired_bootstrap(after, before, num_resamples=2000, seed=0)
    print(
        f"{title:<46} {len(after):4} images  {before.mean():5.1f} -> {after.mean():5.1f}  "
        f"{found.mean:+.1f} [{found.low:+.1f}, {found.high:+.1f}]"
    )


if __name__ == "__main__":
    main()
