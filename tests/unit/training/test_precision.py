"""Half precision only where the hardware has it."""

import copy
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from captiongen.errors import TrainingError
from captiongen.training.precision import autocast, has_native_bf16, keep_depthwise_in_fp32, require_native_bf16

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


def test_what_needs_bf16_is_refused_where_it_is_emulated(monkeypatch):
    """Muon's orthogonal steps are computed in bfloat16: without it the setting is refused, and another one named."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    with pytest.raises(TrainingError, match=r"optimiser: muon was asked for.*Use adamw"):
        require_native_bf16("optimiser: muon", CPU, instead="adamw")


def test_depthwise_convolutions_stay_in_fp32():
    """Under autocast a depthwise convolution computes in fp32, alone and in a copy, and names keep their places."""
    model = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 6, 1))
    names = list(model.state_dict())
    keep_depthwise_in_fp32(model)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin[0].weight.zero_()
    x = torch.randn(1, 4, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model[0](x.bfloat16()).dtype == torch.float32
        assert model[1](x).dtype == torch.bfloat16
        torch.testing.assert_close(twin[0](x), twin[0].bias.view(1, -1, 1, 1).expand(1, 4, 6, 6))
    assert list(model.state_dict()) == names
