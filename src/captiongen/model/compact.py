"""A decoder with weights of eight bits, for searches on CPUs: a quarter of the memory to read per word.

A search multiplies a few rows with every weight of the decoder, word after word, and waits for memory more than it
computes. Here a weight is an int8 with one scale per output, and each row of the input is rounded to 7 bits on a scale
of its own, as in LLM.int8() (Dettmers et al. 2022, arXiv 2208.07339, section 2.1), here without its outlier columns.
Products are summed in int32, so a row's result is exact in whatever company it is computed: a caption does not depend
on its batch. torch's own dynamic quantisation has one scale for the whole batch, and lacks that.
"""

import copy
import warnings
from threading import Lock

import torch
from torch import Tensor, nn

from captiongen.errors import UsageError
from captiongen.model.decoder import CaptionDecoder

# FBGEMM adds two products of 8 x 8 bits in 16; inputs of 7 bits, 64 +- 63, are what can never overflow there.
_INPUT_LEVELS, _INPUT_ZERO, _WEIGHT_LEVELS = 63, 64, 127
_engine_lock = Lock()  # torch's choice of a kernel for packed weights is one for the whole process


class CompactLinear(nn.Module):
    """A linear layer, (..., I) -> (..., O), with int8 weights; it holds no parameters and cannot be trained.

    Args:
        weight: (O, I).
        bias: (O,), or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self._packed = _pack(weight.detach().float())
        self._bias = torch.zeros(len(weight)) if bias is None else bias.detach().float()

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) -> (..., O) float32."""
        largest = x.abs().amax(dim=-1, keepdim=True).clamp_min_(torch.finfo(x.dtype).tiny)  # (..., 1)
        product = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            x / largest, 1.0 / _INPUT_LEVELS, _INPUT_ZERO, self._packed
        )
        return torch.addcmul(self._bias, product, largest)


def compact(decoder: CaptionDecoder) -> CaptionDecoder:
    """Copies a decoder to the CPU, with int8 weights in its linear layers and between words and logits.

    Raises:
        UsageError: this processor has no kernel for them.
    """
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        raise UsageError(
            "decode.weights: int8 needs an x86 processor with AVX2 (torch's FBGEMM), which this is not. Use fp32."
        )
    packed = copy.deepcopy(decoder).cpu().eval()
    for module in list(packed.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Linear):
                setattr(module, name, CompactLinear(child.weight, child.bias))
    packed.packed_output = CompactLinear(packed.embedding.weight, None)
    return packed


def _pack(weight: Tensor) -> object:
    scales = weight.abs().amax(dim=1).clamp_min(torch.finfo(weight.dtype).tiny) / _WEIGHT_LEVELS  # (O,)
    zeros = torch.zeros(len(weight), dtype=torch.long)
    with _engine_lock, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*quantize_per_channel")  # deprecated, see decision 0012
        chosen, torch.backends.quantized.engine = torch.backends.quantized.engine, "fbgemm"
        try:
            return torch.ops.quantized.linear_prepack(
                torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8), None
            )
        finally:
            torch.backends.quantized.engine = chosen
