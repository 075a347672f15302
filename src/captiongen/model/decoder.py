"""The caption decoder: a Transformer over a map of image features, with tied embeddings.

Its layers are our own, or made as those of a language model whose weights it begins with (see
`captiongen.model.pretrained`): what differs is one row of a table, and all of them train and decode by the same code.

It reads top to bottom: attention, one layer, the decoder. There is one set of weights and one forward pass per layer;
training feeds whole captions, decoding feeds one token at a time and keeps keys and values.

Shapes: B images, K captions (or beams) of each image, T tokens, P tokens already decoded, M entries of an image's
cache, N memory positions, W width, H heads, D = W / H, V vocabulary. Keys and values of the memory are computed once
per image and shared by its K rows, which is why captions stand as (B, K, T) and not as one flat batch.

Source: Vaswani et al. 2017 (arXiv 1706.03762); pre-norm as in Xiong et al. 2020 (arXiv 2002.04745); attention to
an image between the layers of GPT-2, BERT (arXiv 1810.04805) and RoBERTa as in Rothe et al. 2020 (arXiv 1907.12461).
"""

import re
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captiongen.model.decoder_state import DecoderState, KeysValues, TokenCache
from captiongen.params import DecoderParams

# At these short lengths plain matrix products beat fused attention on CPUs, whose backward pass took a quarter of a
# training step; they also hand out the attention weights.


@dataclass(frozen=True, slots=True)
class Architecture:
    """How a make of Transformer differs from the others.

    Attributes:
        is_pre_norm: each part of a layer reads a normalised input and the last layer's output is normalised; else what
            a part returns is normalised after it was added, and so are the embeddings.
        gelu: computed exactly (`none`) or by its tanh approximation.
        norm_epsilon: added to variances.
        scales_embedding: tokens are embedded sqrt(W) times as large as they are compared with at the end.
    """

    is_pre_norm: bool
    gelu: Literal["none", "tanh"]
    norm_epsilon: float
    scales_embedding: bool


#: By the name in `train.decoder.architecture`.
ARCHITECTURES = {
    "captiongen": Architecture(is_pre_norm=True, gelu="none", norm_epsilon=1e-5, scales_embedding=True),
    "gpt2": Architecture(is_pre_norm=True, gelu="tanh", norm_epsilon=1e-5, scales_embedding=False),
    "bert": Architecture(is_pre_norm=False, gelu="none", norm_epsilon=1e-12, scales_embedding=False),
    "roberta": Architecture(is_pre_norm=False, gelu="none", norm_epsilon=1e-5, scales_embedding=False),
}

_LOOKS_AT_IMAGE = re.compile(r"\b(bridge|memory_norm|cross_norm|cross_attention)\b")


class SelfAttention(nn.Module):
    """Causal attention of a caption to its own earlier tokens."""

    def __init__(self, params: DecoderParams) -> None:
        super().__init__()
        self.num_heads = params.num_heads
        self.query_key_value = nn.Linear(params.width, 3 * params.width)
        self.output = nn.Linear(params.width, params.width)

    def forward(self, x: Tensor, past: TokenCache | None, mask: Tensor) -> tuple[Tensor, TokenCache]:
        """(B, K, T, W) and a cache of M entries -> (B, K, T, W) and a cache of M + K * T entries; see `follow`."""
        num_images, num_rows, num_tokens, _ = x.shape
        heads = self.query_key_value(x).view(num_images, num_rows, num_tokens, 3, self.num_heads, -1)
        query, keys, values = heads.permute(3, 0, 4, 1, 2, 5)  # each (B, H, K, T, D)
        new = KeysValues(keys.flatten(2, 3), values.flatten(2, 3))  # (B, H, K * T, D)
        if past is None:
            kept = TokenCache(new)
        else:  # the rows of an image share its cache, so they queue up as one row of queries
            kept = past.append(new)
            query, keys, values, mask = query.flatten(2, 3), kept.read.keys, kept.read.values, mask[:, None]
        scores = query @ keys.transpose(-1, -2) * query.shape[-1] ** -0.5 + mask
        mixed = scores.softmax(dim=-1) @ values  # (B, H, K, T, D), or (B, H, K * T, D)
        return self.output(mixed.flatten(2, -2).transpose(1, 2).reshape(x.shape)), kept


class CrossAttention(nn.Module):
    """Attention of caption tokens to the image."""

    def __init__(self, params: DecoderParams) -> None:
        super().__init__()
        self.num_heads = params.num_heads
        self.query = nn.Linear(params.width, params.width)
        self.key_value = nn.Linear(params.width, 2 * params.width)
        self.output = nn.Linear(params.width, params.width)

    def project(self, memory: Tensor) -> KeysValues:
        """(B, N, W) -> keys and values (B, H, N, D), once per image."""
        num_images, num_positions, _ = memory.shape
        heads = self.key_value(memory).view(num_images, num_positions, 2, self.num_heads, -1)
        keys, values = heads.permute(2, 0, 3, 1, 4).contiguous()  # else each step of a search would copy them
        return KeysValues(keys, values)

    def forward(self, x: Tensor, memory: KeysValues) -> tuple[Tensor, Tensor]:
        """(B, K, T, W) -> (B, K, T, W), and the weights (B, H, K * T, N)."""
        num_images, num_rows, num_tokens, _ = x.shape
        # All rows of an image share its keys, so they queue up as one long row of queries: (B, H, K * T, D).
        query = self.query(x).view(num_images, num_rows * num_tokens, self.num_heads, -1).transpose(1, 2)
        weights = (query @ memory.keys.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(dim=-1)
        mixed = (weights @ memory.values).transpose(1, 2).reshape(x.shape)
        return self.output(mixed), weights


class DecoderLayer(nn.Module):
    """Look back, look at the image, think; each is added to what was there and normalised before or after."""

    def __init__(self, params: DecoderParams) -> None:
        super().__init__()
        architecture = ARCHITECTURES[params.architecture]
        self.is_pre_norm = architecture.is_pre_norm
        self.self_norm, self.cross_norm, self.think_norm = (
            nn.LayerNorm(params.width, eps=architecture.norm_epsilon) for _ in range(3)
        )
        self.self_attention = SelfAttention(params)
        self.cross_attention = CrossAttention(params)
        hidden, gelu = params.width * params.feedforward_factor, nn.GELU(approximate=architecture.gelu)
        self.think = nn.Sequential(nn.Linear(params.width, hidden), gelu, nn.Linear(hidden, params.width))
        self.dropout = nn.Dropout(params.dropout)

    def forward(
        self, x: Tensor, memory: KeysValues, past: TokenCache | None, mask: Tensor
    ) -> tuple[Tensor, TokenCache, Tensor]:
        """(B, K, T, W) -> (B, K, T, W), the keys and values to keep, and the weights over the image."""
        looked_back, kept = self.self_attention(self._before(self.self_norm, x), past, mask)
        x = self._after(self.self_norm, x + self.dropout(looked_back))
        looked_at, weights = self.cross_attention(self._before(self.cross_norm, x), memory)
        x = self._after(self.cross_norm, x + self.dropout(looked_at))
        thought = self.think(self._before(self.think_norm, x))
        return self._after(self.think_norm, x + self.dropout(thought)), kept, weights

    def _before(self, norm: nn.Module, x: Tensor) -> Tensor:
        return cast(Tensor, norm(x)) if self.is_pre_norm else x

    def _after(self, norm: nn.Module, x: Tensor) -> Tensor:
        return x if self.is_pre_norm else cast(Tensor, norm(x))


class CaptionDecoder(nn.Module):
    """Writes captions over a map of image features.

    Args:
        params: the section `train.decoder`.
        vocabulary_size: V.
        num_channels: channels of the encoder's feature map.
        grid_size: G, side of the feature map.
        max_tokens: the longest caption that can be written, begin and end tokens not counted.
    """

    image_positions: Tensor

    def __init__(
        self, params: DecoderParams, *, vocabulary_size: int, num_channels: int, grid_size: int, max_tokens: int
    ) -> None:
        super().__init__()
        architecture = ARCHITECTURES[params.architecture]
        self.params, self.max_tokens = params, max_tokens
        self.embedding_scale = params.width**0.5 if architecture.scales_embedding else 1.0
        self.bridge = nn.Sequential(nn.LayerNorm(num_channels), nn.Linear(num_channels, params.width))
        self.memory_norm = nn.LayerNorm(params.width)
        self.register_buffer("image_positions", sine_positions_2d(grid_size, params.width), persistent=False)
        self.embedding = nn.Embedding(vocabulary_size, params.width)
        self.token_positions = nn.Parameter(torch.zeros(max_tokens + 1, params.width))
        self.layers = nn.ModuleList(DecoderLayer(params) for _ in range(params.num_layers))
        norm: nn.Module = nn.LayerNorm(params.width, eps=architecture.norm_epsilon)
        self.first_norm = nn.Identity() if architecture.is_pre_norm else norm
        self.final_norm = norm if architecture.is_pre_norm else nn.Identity()
        self.packed_output: nn.Module | None = None  # the embedding for the way out, where `compact` packed it
        self.dropout = nn.Dropout(params.dropout)
        self.apply(_initialise)

    def pretrained_parameters(self) -> list[nn.Parameter]:
        """Those that began with a language model's weights: all but what looks at the image, or none."""
        if self.params.weights == "none":
            return []
        return [parameter for name, parameter in self.named_parameters() if not _LOOKS_AT_IMAGE.search(name)]

    def start(self, features: Tensor) -> DecoderState:
        """Prepares images for decoding: (B, C, G, G) features -> the state before the first token."""
        flat = features.flatten(2).transpose(1, 2)  # (B, N, C)
        memory = self.memory_norm(self.dropout(self.bridge(flat)) + self.image_positions)  # (B, N, W)
        projected = tuple(cast(DecoderLayer, layer).cross_attention.project(memory) for layer in self.layers)
        return DecoderState(projected)

    def advance(self, state: DecoderState, tokens: Tensor) -> tuple[Tensor, DecoderState, Tensor]:
        """Reads tokens and predicts the next one after each.

        Args:
            state: after the tokens so far.
            tokens: (B, K, T) int64, the tokens that follow.

        Returns:
            logits (B, K, T, V), the state after these tokens, and the last layer's attention to the image, averaged
            over heads, (B, K, T, N).
        """
        end = state.length + tokens.shape[-1]
        x = self.embedding(tokens) * self.embedding_scale + self.token_positions[state.length : end]
        x = self.dropout(self.first_norm(x))
        lineage, mask = state.follow(tokens)
        kept, weights = [], x
        for index, layer in enumerate(self.layers):
            past = None if state.tokens is None else state.tokens[index]
            x, keys_values, weights = layer(x, state.memory[index], past, mask)
            kept.append(keys_values)
        x = self.final_norm(x)
        logits = F.linear(x, self.embedding.weight) if self.packed_output is None else self.packed_output(x)
        attention = weights.mean(dim=1).view(*tokens.shape, -1)
        return logits, DecoderState(state.memory, tuple(kept), lineage), attention


def sine_positions_2d(grid_size: int, width: int) -> Tensor:
    """Fixed positions of a square grid, (N, W): half the width for the row, half for the column.

    Source: the sine positions of arXiv 1706.03762, one axis per half, as in DETR (arXiv 2005.12872).
    """
    num_frequencies = width // 4
    frequencies = 10_000.0 ** (-torch.arange(num_frequencies) / num_frequencies)
    angles = torch.arange(grid_size)[:, None] * frequencies  # (G, W / 4)
    axis = torch.cat([angles.sin(), angles.cos()], dim=-1)  # (G, W / 2)
    rows = axis[:, None, :].expand(-1, grid_size, -1)
    columns = axis[None, :, :].expand(grid_size, -1, -1)
    return torch.cat([rows, columns], dim=-1).reshape(grid_size * grid_size, width)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        # Scaled up by sqrt(width) on the way in, used as it is on the way out.
        nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
