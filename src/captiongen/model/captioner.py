"""The captioner: image encoder and caption decoder as one model."""

from torch import nn

from captiongen.model.decoder import CaptionDecoder
from captiongen.model.encoder import ImageEncoder, build_encoder
from captiongen.model.matcher import CaptionMatcher
from captiongen.model.reranker import Reranker
from captiongen.params import DecoderParams, EncoderParams


class Captioner(nn.Module):
    """Image in, caption tokens out: `decoder.start(encoder(images))`, then `decoder.advance` as often as needed.

    Attributes:
        reranker: chooses among the captions found; made when the rest is trained, None where there is none.
    """

    def __init__(self, encoder: ImageEncoder, decoder: CaptionDecoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.reranker: Reranker | None = None

    @property
    def matcher(self) -> CaptionMatcher | None:
        """The reranker's: sees how near captions are to pictures and to each other."""
        return None if self.reranker is None else self.reranker.matcher


def build_captioner(
    encoder_params: EncoderParams,
    decoder_params: DecoderParams,
    *,
    image_size_px: int,
    vocabulary_size: int,
    max_tokens: int,
    with_encoder_weights: bool = True,
) -> Captioner:
    """Builds a captioner whose decoder fits the encoder's feature map.

    Raises:
        EncoderError: the encoder is unknown or its weights do not fit.
    """
    encoder = build_encoder(encoder_params, with_weights=with_encoder_weights)
    num_channels, grid_size = encoder.measure(image_size_px)
    decoder = CaptionDecoder(
        decoder_params,
        vocabulary_size=vocabulary_size,
        num_channels=num_channels,
        grid_size=grid_size,
        max_tokens=max_tokens,
    )
    return Captioner(encoder, decoder)
