"""CiderD gathers its state across processes, with torch.distributed itself."""

from pathlib import Path

import pytest
import torch
import torch.distributed as distributed
import torch.multiprocessing as multiprocessing

from captiongen.metrics.cider import corpus_cider

REFERENCES = {
    str(number): [f"a {word} dog runs", f"one {word} dog"] for number, word in enumerate(["red", "big", "ünïcode"])
}
HYPOTHESES = {image_id: captions[1] for image_id, captions in REFERENCES.items()}


def _score_share(rank: int, shares: list[list[str]], folder: str) -> None:
    from captiongen.metrics.cider_metric import CiderD

    distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=len(shares))
    metric = CiderD()
    for image_id in shares[rank]:
        metric.update([HYPOTHESES[image_id]], [REFERENCES[image_id]])
    torch.save(metric.compute(), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_processes_agree_on_the_whole(tmp_path: Path):
    """A process that saw three images and one that saw none both compute the CIDEr of the whole set."""
    shares = [["0", "1", "2"], []]
    multiprocessing.spawn(_score_share, args=(shares, str(tmp_path)), nprocs=len(shares))
    expected = corpus_cider(HYPOTHESES, REFERENCES)
    values = [float(torch.load(tmp_path / f"{rank}.pt")) for rank in range(len(shares))]
    assert values == pytest.approx([expected] * len(shares), abs=1e-9)
