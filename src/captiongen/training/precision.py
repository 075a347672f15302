"""Where half precision helps, and where it would be hundreds of times slower."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from captiongen.errors import TrainingError


def has_native_bf16(device: torch.device) -> bool:
    """Tells whether bfloat16 products run in hardware; a CPU without it emulates them at a crawl."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def autocast(precision: Literal["auto", "fp32", "bf16"], device: torch.device) -> AbstractContextManager[object]:
    """Returns the context of a forward pass.

    Raises:
        TrainingError: bf16 was asked for on a device that would emulate it.
    """
    if precision == "bf16" and not has_native_bf16(device):
        raise TrainingError(
            f"train.optimisation.precision: bf16 was asked for, but this {device.type} has no native bfloat16 and "
            "would take hundreds of times longer. Use auto or fp32."
        )
    if precision == "fp32" or not has_native_bf16(device):
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
