"""What processes that train together share, in two real ones."""

from pathlib import Path

import torch
from torch import Tensor, nn

from captiongen.training.processes import (
    first_before_others,
    gather,
    hides_bars,
    mean_over_processes,
    share_gradients,
    without_sharing,
)
from tests.two_processes import in_two_processes

#: The first process holds three of a batch's numbers, the second one two; there are two batches.
SHARES = [[[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]], [[4.0, 7.0], [3.0, 1.0]]]


class SquaredError(nn.Module):
    """Mean over a batch's numbers of (weight * number - 1)^2; what is counted decides whose mean it is."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))

    def forward(self, numbers: Tensor) -> Tensor:
        return (self.weight * numbers - 1.0).square().sum() / mean_over_processes(len(numbers))


def accumulated_gradient(batches: list[list[float]]) -> float:
    """Of two batches that make one step, as the training loop takes it."""
    model = SquaredError()
    loss = share_gradients(model, has_unused_parameters=False)
    first, last = (torch.tensor(batch, dtype=torch.float64) for batch in batches)
    with without_sharing(loss):
        loss(first).backward()
    loss(last).backward()
    return float(model.weight.grad)


def share_in_one(rank: int, folder: Path) -> dict[str, object]:
    """What each process does, and what it saw."""
    with first_before_others():
        seen = sorted(path.name for path in folder.glob("written-*"))
        (folder / f"written-{rank}").touch()
    return {
        "gradient": accumulated_gradient(SHARES[rank]),
        "mean": mean_over_processes(10.0 * rank),
        "gathered": gather({rank: "x" * rank}),
        "seen": seen,
        "hides_bars": hides_bars(),
    }


def test_shares_of_unequal_size_make_the_gradient_of_the_whole_batch(tmp_path: Path):
    """Two processes have the gradient of one that sees all; the first goes first, and alone shows bars."""
    whole = accumulated_gradient([first + second for first, second in zip(*SHARES, strict=True)])
    one, other = in_two_processes(share_in_one, tmp_path)
    for facts in (one, other):
        torch.testing.assert_close(facts["gradient"], whole, rtol=1e-12, atol=0.0)
        assert facts["mean"] == 5.0
        assert facts["gathered"] == [{0: ""}, {1: "x"}]
    assert (one["seen"], other["seen"]) == ([], ["written-0"])
    assert (one["hides_bars"], other["hides_bars"]) == (None, True)


def test_one_process_shares_with_nobody(tmp_path: Path):
    """Without a group values stay what they are, and nobody is waited for."""
    module = SquaredError()
    assert share_gradients(module, has_unused_parameters=False) is module
    assert (mean_over_processes(3.0), gather("x"), hides_bars()) == (3.0, ["x"], None)
    with first_before_others():
        (tmp_path / "written").touch()
    assert (tmp_path / "written").exists()
