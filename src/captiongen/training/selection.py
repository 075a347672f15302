"""Which epoch is best: the one whose free-running dev captions score the highest CIDEr, never a teacher-forced loss."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from captiongen.inference import search
from captiongen.metrics.cider import corpus_cider
from captiongen.model.captioner import Captioner
from captiongen.model.compact import compact
from captiongen.model.decoder import CaptionDecoder
from captiongen.params import DecodeParams
from captiongen.ports import Tracker
from captiongen.text.tokenizer import CaptionTokenizer
from captiongen.training.processes import gather, hides_bars, num_processes, rank

_NUM_SAMPLES = 8


class DevSelector:
    """Captions the dev split as the service would, and scores it.

    Args:
        references: image id -> human captions, in the order of `entries`.
        entries: (images, S, S, 3) uint8 pictures, or (images, C, G, G) features of a frozen encoder.
        is_features: what `entries` are.
        tokenizer: turns tokens into words.
        decode: how captions are searched.
        sample_pictures: encoded pictures of the first images, shown with their captions.
        tracker: receives the samples.
        batch_size: images at a time.
    """

    def __init__(
        self,
        references: Mapping[str, Sequence[str]],
        entries: npt.NDArray[Any],
        *,
        is_features: bool,
        tokenizer: CaptionTokenizer,
        decode: DecodeParams,
        sample_pictures: Sequence[bytes],
        tracker: Tracker,
        batch_size: int = 32,
    ) -> None:
        self._references, self._entries, self._is_features = references, entries, is_features
        self._tokenizer, self._decode, self._batch_size = tokenizer, decode, batch_size
        self._samples, self._tracker = list(sample_pictures)[:_NUM_SAMPLES], tracker

    @torch.inference_mode()
    def __call__(self, captioner: Captioner, epoch: int) -> float:
        """Returns CIDEr (x100) of the captioner's captions; leaves it in evaluation mode.

        Where several processes train, each captions some of the batches, and all know the score.
        """
        captioner.eval()
        decoder = captioner.decoder if self._decode.weights == "fp32" else compact(captioner.decoder)
        starts = range(0, len(self._references), self._batch_size)
        mine = tqdm(
            starts[rank() :: num_processes()], desc="dev captions", unit="batch", leave=False, disable=hides_bars()
        )
        of_processes = gather({start: self._caption(captioner, decoder, start) for start in mine})
        by_start = {start: captions for of_one in of_processes for start, captions in of_one.items()}
        captions = [caption for start in starts for caption in by_start[start]]
        self._tracker.log_captions(self._samples, captions[: len(self._samples)], name="dev", step=epoch)
        return corpus_cider(dict(zip(self._references, captions, strict=True)), self._references)

    def _caption(self, captioner: Captioner, decoder: CaptionDecoder, start: int) -> list[str]:
        """Captions of the batch of images that begins at `start`."""
        end = min(start + self._batch_size, len(self._references))
        batch = torch.from_numpy(np.array(self._entries[start:end])).to(captioner.decoder.image_positions.device)
        features = batch.float() if self._is_features else captioner.encoder(batch.permute(0, 3, 1, 2))
        features = features.to(decoder.image_positions.device)
        return [self._tokenizer.decode(nbest[0].tokens) for nbest in search(decoder, features, self._decode)]


def limit(references: Mapping[str, Sequence[str]], max_images: int | None) -> dict[str, Sequence[str]]:
    """The first `max_images` images, or all of them."""
    return dict(islice(references.items(), max_images))
