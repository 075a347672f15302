"""What is told of a training that has lost its way, by one process and by two."""

from pathlib import Path

import pytest

from captiongen.errors import TrainingError
from captiongen.params import FrozenPhase
from captiongen.training.divergence import finite_loss, has_diverged, require_finite_gradient
from captiongen.training.snapshot import EpochRecord
from tests.two_processes import in_two_processes

PLACE = "at step 7 of phase frozen"


def losses(*values: float) -> list[EpochRecord]:
    return [EpochRecord(number, "frozen", value, 1e-3) for number, value in enumerate(values, start=1)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [((), False), ((4.0,), False), ((4.0, 2.0, 4.9), False), ((4.0, 2.0, 5.1), True), ((0.1, 1.0), False)],
)
def test_divergence_is_a_loss_well_above_that_of_the_first_epoch(values: tuple[float, ...], expected: bool):
    """More than 1 above it, in the newest epoch; a loss that merely rises is left to the dev score."""
    phase = FrozenPhase(kind="frozen", num_epochs=9)
    assert has_diverged(phase, losses(*values)) is expected


def message(check: object, *args: object) -> str:
    with pytest.raises(TrainingError) as caught:
        check(*args, place=PLACE)
    return str(caught.value)


def stop(rank: int, folder: Path) -> dict[str, object]:
    share = [[f"first-{rank}"], [f"second-{rank}"]]
    return {
        "gradient": message(require_finite_gradient, float("inf"), share),
        "loss": message(finite_loss, 1.0 if rank else float("nan"), share[0]),
    }


def test_processes_stop_alike_and_name_the_images_of_all(tmp_path: Path):
    """An infinite gradient is everybody's, and the images of both are named; of a loss only those of its share."""
    one, other = in_two_processes(stop, tmp_path)
    assert one == other
    assert "in one of the 2 batches of the step, with first-0, first-1; second-0, second-1." in one["gradient"]
    assert "in the batch with first-0." in one["loss"]
