"""Weights of eight bits: close to the decoder's own, and blind to the batch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from captiongen.model.compact import CompactLinear, compact
from captiongen.model.decoder import CaptionDecoder
from captiongen.params import DecoderParams

pytestmark = pytest.mark.skipif(
    "fbgemm" not in torch.backends.quantized.supported_engines, reason="int8 weights need torch's FBGEMM"
)


def rounded(x, num_levels):
    """Each row on a grid of its own: what the layer does to its input and to its weights, in plain float32."""
    step = x.abs().amax(dim=-1, keepdim=True).clamp_min(1e-30) / num_levels
    return (x / step).round() * step


def random_layer(seed, num_out=24, num_in=32):
    source = torch.Generator().manual_seed(seed)
    return torch.randn(num_out, num_in, generator=source), torch.randn(num_out, generator=source)


@given(seed=st.integers(0, 999), num_rows=st.integers(1, 9), exponent=st.integers(-6, 6))
@settings(max_examples=30, deadline=None)
def test_a_layer_rounds_weights_to_8_bits_and_each_row_to_7_and_computes_exactly(seed, num_rows, exponent):
    """The result is that of float32 on the rounded numbers, whatever the size of a row: nothing overflows."""
    weight, bias = random_layer(seed)
    x = torch.randn(num_rows, 32, generator=torch.Generator().manual_seed(seed)) * 10.0**exponent
    exact = F.linear(rounded(x, 63), rounded(weight, 127), bias)
    torch.testing.assert_close(CompactLinear(weight, bias)(x), exact, rtol=1e-4, atol=1e-4 * float(exact.abs().max()))


def test_the_largest_products_do_not_overflow():
    """Rows and weights that are all at their largest, where the kernel adds in 16 bits first, are summed exactly."""
    signs = torch.tensor([[1.0], [-1.0]])
    weight, x = signs.expand(2, 512).contiguous(), signs.expand(2, 512)
    torch.testing.assert_close(CompactLinear(weight, None)(x), x @ weight.T)


@given(seed=st.integers(0, 999), loudness=st.floats(1e-3, 1e3))
@settings(max_examples=30, deadline=None)
def test_a_row_is_the_same_to_the_bit_beside_any_others(seed, loudness):
    """No row changes another's scale, as one scale for the batch would."""
    layer = CompactLinear(*random_layer(seed))
    rows = torch.randn(5, 32, generator=torch.Generator().manual_seed(seed))
    rows[1] *= loudness
    assert torch.equal(layer(rows), torch.cat([layer(row[None]) for row in rows]))


def test_rows_and_weights_of_zeros_give_the_bias():
    """A scale of zero divides nothing."""
    weight, bias = random_layer(0)
    weight[3] = 0.0
    layer = CompactLinear(weight, bias)
    torch.testing.assert_close(layer(torch.zeros(2, 32)), bias.expand(2, -1))
    assert layer(torch.ones(1, 32))[0, 3] == bias[3]


@pytest.fixture
def decoder():
    torch.manual_seed(0)
    params = DecoderParams(width=24, num_layers=2, num_heads=3, dropout=0.1)
    return CaptionDecoder(params, vocabulary_size=19, num_channels=10, grid_size=4, max_tokens=12)


def test_a_compact_decoder_thinks_nearly_what_the_decoder_thinks(decoder):
    """Log-probabilities move by hundredths, but they move; the decoder itself is left as it was."""
    before = {name: tensor.clone() for name, tensor in decoder.state_dict().items()}
    features, tokens = torch.randn(2, 10, 4, 4), torch.randint(0, 19, (2, 3, 7))
    small = compact(decoder)
    decoder.eval()
    with torch.no_grad():
        theirs, ours = (one.advance(one.start(features), tokens)[0].log_softmax(dim=-1) for one in (decoder, small))
    assert 0.0 < float((ours - theirs).abs().max()) < 0.25
    assert all(torch.equal(tensor, before[name]) for name, tensor in decoder.state_dict().items())


def test_packing_leaves_the_process_its_own_engine(decoder):
    """Who else quantises in this process finds its choice of kernels unchanged."""
    chosen = torch.backends.quantized.engine
    compact(decoder)
    assert torch.backends.quantized.engine == chosen
