"""Half precision only where the hardware has it."""

from contextlib import nullcontext

import pytest
import torch

from captiongen.errors import TrainingError
from captiongen.training.precision import autocast, has_native_bf16

CPU = torch.device("cpu")


def test_fp32_means_fp32():
    """Asking for fp32 gives no autocast anywhere."""
    assert isinstance(autocast("fp32", CPU), nullcontext)


def test_auto_follows_the_hardware():
    """Auto autocasts exactly where bfloat16 is native."""
    assert isinstance(autocast("auto", CPU), nullcontext) is not has_native_bf16(CPU)


@pytest.mark.skipif(has_native_bf16(CPU), reason="this CPU has native bfloat16, so nothing is refused")
def test_bf16_on_a_cpu_without_it_is_refused():
    """A crawl of hours is refused with what to do."""
    with pytest.raises(TrainingError, match="Use auto or fp32"):
        autocast("bf16", CPU)
