"""When a training has lost its way: its loss or gradient is no number any more, or its loss only grows.

A number that is none stops the training at once, before the weights take it in, and names the pictures. A loss that has
grown ends the phase, whose best weights are kept: what was reached is worth more than an error.
"""

import math
from collections.abc import Sequence

from captiongen.errors import TrainingError
from captiongen.params import Phase, SelfCriticalPhase
from captiongen.training.processes import gather, mean_over_processes
from captiongen.training.snapshot import EpochRecord

#: In the unit of the loss. One nat per token is a perplexity of 2.7 times; one variance of a map is all of it.
_DIVERGED_BY = 1.0
_NUM_NAMED = 4


def finite_loss(own_loss: float, images: Sequence[str], *, place: str) -> float:
    """Returns the loss of the whole batch, from that of this process's share. Every process must call it.

    Args:
        own_loss: of the share.
        images: ids of the share.
        place: step and phase, for the message.

    Raises:
        TrainingError: it is no number; the images are those of shares whose loss is none.
    """
    loss = mean_over_processes(own_loss)
    if math.isfinite(loss):
        return loss
    names = name_images([] if math.isfinite(own_loss) else images)
    raise TrainingError(
        f"The training loss became {loss} {place}, in the batch with {names}. Lower its learning_rate in train.phases, "
        "or look at these images and captions."
    )


def require_finite_gradient(norm: float, batches: Sequence[Sequence[str]], *, place: str) -> None:
    """Stops a step whose gradient would make the weights NaN. Every process must call it; all have the same gradient.

    Args:
        norm: of the gradient of all processes together.
        batches: image ids of this process's shares of the batches that make the step.
        place: step and phase, for the message.

    Raises:
        TrainingError: the norm is no number.
    """
    if math.isfinite(norm):
        return
    names = "; ".join(name_images(images) for images in batches)
    which = "in the batch with" if len(batches) == 1 else f"in one of the {len(batches)} batches of the step, with"
    raise TrainingError(
        f"The gradient's norm became {norm} {place} while the loss was finite, {which} {names}. The weights are as "
        "before. Lower its learning_rate in train.phases, or look at these images and captions."
    )


def has_diverged(phase: Phase, history: Sequence[EpochRecord]) -> bool:
    """Tells whether the newest epoch's mean loss lies more than 1 above that of the phase's first epoch.

    Such a model has unlearned more than the phase can have taught it. Whatever is milder, `selection.patience` decides
    by the dev score; so it does in self-critical phases, whose loss has no level of its own.
    """
    if isinstance(phase, SelfCriticalPhase) or not history:
        return False
    return history[-1].train_loss > history[0].train_loss + _DIVERGED_BY


def describe_divergence(history: Sequence[EpochRecord], worst_batch: Sequence[str]) -> str:
    """What to tell of a phase that ends because it `has_diverged`. Every process must call it.

    Args:
        history: of the phase.
        worst_batch: image ids of this process's share of the newest epoch's batch with the largest loss.
    """
    first, last = history[0], history[-1]
    return (
        f"warning: phase {last.phase} has diverged: the loss of epoch {last.epoch} is {last.train_loss:.3f}, after "
        f"{first.train_loss:.3f} in the phase's first epoch, and largest in the batch with {name_images(worst_batch)}. "
        "The phase ends here, and its best weights are kept. Lower its learning_rate or max_gradient_norm in "
        "train.phases."
    )


def name_images(own: Sequence[str]) -> str:
    """Names some images of a batch, of all processes together. Every process must call it."""
    names = [name for of_one in gather(list(own)) for name in of_one]
    return ", ".join(names[:_NUM_NAMED]) + (" ..." if len(names) > _NUM_NAMED else "")
