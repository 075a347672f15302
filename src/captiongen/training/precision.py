"""Where half precision helps, and where it would be hundreds of times slower."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor, nn

from captiongen.errors import TrainingError


def has_native_bf16(device: torch.device) -> bool:
    """Tells whether bfloat16 products run in hardware; a CPU without it emulates them at a crawl."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def require_native_bf16(setting: str, device: torch.device, *, instead: str) -> None:
    """Refuses a setting that computes in bfloat16 where that is emulated.

    Raises:
        TrainingError: it is.
    """
    if not has_native_bf16(device):
        raise TrainingError(
            f"{setting} was asked for, but this {device.type} has no native bfloat16 and would take hundreds of times "
            f"longer. Use {instead} in the phase of params.yaml."
        )


class _Fp32Conv2d(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float())


def keep_depthwise_in_fp32(model: nn.Module) -> None:
    """Takes depthwise convolutions out of autocast, for trainings on a CPU.

    oneDNN's backward pass of them takes two to five times as long in bfloat16 as in float32, and was half of a training
    step of a ConvNeXt. Weights and names stay; convolutions of a make of their own are left alone.
    """
    for module in model.modules():
        if type(module) is nn.Conv2d and module.groups == module.in_channels > 1:
            module.__class__ = _Fp32Conv2d  # parameters, hooks and copies stay what they are


def autocast(precision: Literal["auto", "fp32", "bf16"], device: torch.device) -> AbstractContextManager[object]:
    """Returns the context of a forward pass.

    Raises:
        TrainingError: bf16 was asked for on a device that would emulate it.
    """
    if precision == "bf16":
        require_native_bf16("precision: bf16", device, instead="auto or fp32")
    if precision == "fp32" or not has_native_bf16(device):
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
