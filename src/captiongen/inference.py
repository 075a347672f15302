"""Image to caption: the one path that evaluation, the command line, the registry's model and the service share.

Shapes: B images, S side in px, K rows of an image, T tokens, N = G * G positions of the feature map, V vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from captiongen.data.images import prepare
from captiongen.data.shards import ProcessedData, decode_row_image
from captiongen.decode.beam import beam_search
from captiongen.decode.consensus import by_consensus
from captiongen.decode.repetition import NoRepeatNgram
from captiongen.decode.sample import greedy, sample
from captiongen.decode.stepper import Decoded, NextToken, SpecialTokens
from captiongen.errors import Abandoned, CheckpointError, DataError, UsageError
from captiongen.metrics.cider import pairwise_cider
from captiongen.model.captioner import Captioner
from captiongen.model.checkpoint import CaptionerManifest, LoadedCaptioner, load_captioner
from captiongen.model.compact import compact
from captiongen.model.decoder import CaptionDecoder
from captiongen.params import DecodeParams
from captiongen.reranking import NbestRanking
from captiongen.text.tokenizer import CaptionTokenizer
from captiongen.types import Calibration, CaptionedImage, CaptionResult, Hypothesis, Split, WordScore

#: What every search must know of the tokenizer.
SPECIAL_TOKENS = SpecialTokens(
    bos_id=CaptionTokenizer.bos_id, eos_id=CaptionTokenizer.eos_id, pad_id=CaptionTokenizer.pad_id
)
_NEVER_WRITTEN = (CaptionTokenizer.pad_id, CaptionTokenizer.bos_id, CaptionTokenizer.unk_id)


def _always() -> bool:
    return True


class CachedNextToken:
    """A decoder over a batch of images as a next-token callable that keeps keys and values between calls."""

    def __init__(self, decoder: CaptionDecoder, features: Tensor, *, is_wanted: Callable[[], bool] = _always) -> None:
        self._decoder = decoder
        self._state = decoder.start(features)
        self._is_wanted = is_wanted

    def __call__(self, tokens: Tensor, parents: Tensor) -> Tensor:
        """(B, K) tokens and parents -> (B, K, V) log-probabilities; forbidden tokens are -inf."""
        if not self._is_wanted():
            raise Abandoned(f"Nobody waits for these captions after {self._state.length} words.")
        state = self._state.select(parents)
        logits, self._state, _ = self._decoder.advance(state, tokens[:, :, None])
        return caption_log_probabilities(logits, first_position=state.length)[:, :, -1]

    def keep(self, images: Tensor) -> None:
        """Drops what was kept for all images but these, (B',) places in the batch."""
        self._state = self._state.keep(images)


def caption_log_probabilities(logits: Tensor, *, first_position: int = 0) -> Tensor:
    """The distribution that captions are drawn from: no padding, second beginning, unknown word, nor empty caption.

    Args:
        logits: (B, K, T, V) of the decoder.
        first_position: of the T tokens in the caption.
    """
    logits = logits.float()
    is_forbidden = torch.zeros(logits.shape[-2:], dtype=torch.bool, device=logits.device)  # (T, V)
    is_forbidden[:, list(_NEVER_WRITTEN)] = True
    if first_position == 0:
        is_forbidden[0, CaptionTokenizer.eos_id] = True
    return logits.masked_fill(is_forbidden, float("-inf")).log_softmax(dim=-1)


class CaptionEngine:
    """Captions images with one trained captioner; safe to share between threads.

    Args:
        loaded: captioner, tokenizer and manifest.
        device: `cpu`, `cuda`, `cuda:1` ...; a search with int8 weights runs on the CPU all the same.

    Raises:
        UsageError: the manifest wants int8 weights and this processor has no kernel for them, or the choice of a
            reranker that the captioner does not have.
    """

    def __init__(self, loaded: LoadedCaptioner, *, device: str = "cpu") -> None:
        self.manifest: CaptionerManifest = loaded.manifest
        self.tokenizer: CaptionTokenizer = loaded.tokenizer
        self._device = torch.device(device)
        self._captioner: Captioner = loaded.captioner.to(self._device).eval()
        self._compact: CaptionDecoder | None = None
        self._reranker = loaded.captioner.reranker
        self._ranking: NbestRanking | None = None  # counts all training captions, so it is made when it is asked
        self._decoder(self.manifest.decode)  # what cannot be had is said now
        self._check_choice(self.manifest.decode)

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu") -> "CaptionEngine":
        """Loads a captioner folder.

        Raises:
            CheckpointError: a file is missing, damaged, or of another format version.
        """
        return cls(load_captioner(folder), device=device)

    def caption(
        self, images: Sequence[Image.Image], *, decode: DecodeParams | None = None, with_attention: bool = False
    ) -> list[CaptionResult]:
        """Captions pictures of any size.

        Args:
            images: RGB pictures.
            decode: how to search; the model's own way by default, which is how it was evaluated.
            with_attention: also return where each word of the best caption looked.
        """
        if not images:
            return []
        arrays = np.stack([prepare(image, self.manifest.preprocessing) for image in images])
        return self.caption_arrays(arrays, decode=decode, with_attention=with_attention)

    @torch.inference_mode()
    def caption_arrays(
        self,
        arrays: npt.NDArray[np.uint8],
        *,
        decode: DecodeParams | None = None,
        with_attention: bool = False,
        is_wanted: Callable[[], bool] = _always,
    ) -> list[CaptionResult]:
        """Captions prepared images, (B, S, S, 3) uint8; otherwise as `caption`.

        Raises:
            UsageError: `decode` wants what this captioner or this machine does not have.
            CheckpointError: the captioner's weights make numbers that are none.
            Abandoned: `is_wanted`, which is asked before each word, said no.
        """
        batch = torch.from_numpy(arrays).to(self._device).permute(0, 3, 1, 2)
        features = self._captioner.encoder(batch).float()
        decode = decode or self.manifest.decode
        self._check_choice(decode)
        decoder = self._decoder(decode)
        features = features.to(decoder.image_positions.device)
        decoded = search(decoder, features, decode, is_wanted=is_wanted)
        if not (all(decoded) and features.isfinite().all()):
            raise CheckpointError(
                "The captioner finds no caption: its weights make numbers that are none. It is damaged; restore it "
                "with `dvc pull` or train again."
            )
        results = []
        for index, found in enumerate(decoded):
            nbest = self._rerank(features[index], found, decode)
            hypotheses = tuple(_hypothesis(one, self.tokenizer, self.manifest.calibration) for one in nbest)
            attention = self._attention(decoder, features[[index]], nbest[0].tokens) if with_attention else None
            results.append(CaptionResult(hypotheses, attention, hypotheses[0].is_doubtful(decode.min_confidence)))
        return results

    def _check_choice(self, decode: DecodeParams) -> None:
        if decode.asks_reranker and self._reranker is None:
            raise UsageError(
                "choice: reranked needs a captioner with a reranker, and this one has none. Train with `reranker: {}` "
                "under train in params.yaml, or ask for choice: likeliest."
            )

    def _rerank(self, features: Tensor, nbest: list[Decoded], decode: DecodeParams) -> list[Decoded]:
        """The list as `decode` wants it: `search` knows all but the reranker."""
        if not decode.asks_reranker or self._reranker is None:
            return nbest
        if self._ranking is None:  # threads that ask at once may make it twice, unharmed
            self._ranking = NbestRanking(self._reranker.cpu())
        return self._ranking(features, nbest)[: decode.num_hypotheses]

    def _decoder(self, decode: DecodeParams) -> CaptionDecoder:
        """The decoder with the weights that `decode` asks for; threads that ask at once may pack it twice, unharmed."""
        if decode.weights == "fp32":
            return self._captioner.decoder
        if self._compact is None:
            self._compact = compact(self._captioner.decoder)
        return self._compact

    def _attention(self, decoder: CaptionDecoder, features: Tensor, tokens: Sequence[int]) -> npt.NDArray[np.float32]:
        """Attention while each word of one caption was written, (words, G, G); pieces of a word are averaged."""
        read = torch.tensor([self.tokenizer.bos_id, *tokens[:-1]], device=features.device)
        _, _, weights = decoder.advance(decoder.start(features), read[None, None])  # (1, 1, T, N)
        per_token = weights[0, 0].cpu().numpy().reshape(len(tokens), *features.shape[-2:])
        words = self.tokenizer.words(tokens)
        if not words:
            return np.empty((0, *per_token.shape[1:]), dtype=np.float32)
        return np.stack([per_token[positions].mean(axis=0) for _, positions in words]).astype(np.float32)


def caption_split(
    engine: CaptionEngine, data: ProcessedData, split: Split, *, batch_size: int
) -> Iterator[CaptionedImage]:
    """Captions the images of a split, in the order of the shards; each n-best list has all beams, for whoever analyses.

    Raises:
        DataError: the split is empty, or the data were prepared in another way than the captioner asks for.
    """
    if not data.counts.get(split):
        raise DataError(f"{data.folder}: expected images in split {split}, found none. Look at the manifest's splits.")
    if data.preprocessing != engine.manifest.preprocessing:
        raise DataError(
            f"The captioner wants {engine.manifest.preprocessing}, {data.folder} holds {data.preprocessing}. "
            "Score it from the original pictures instead: `captiongen score`."
        )
    decode = engine.manifest.decode.with_all_beams()
    rows = iter(tqdm(data.rows(split), total=data.counts[split], desc=f"{split} captions", unit="image", disable=None))
    while block := list(islice(rows, batch_size)):
        results = engine.caption_arrays(np.stack([decode_row_image(row) for row in block]), decode=decode)
        for row, result in zip(block, results, strict=True):
            yield CaptionedImage(row.image_id, result.hypotheses, row.captions)


def search(
    decoder: CaptionDecoder, features: Tensor, decode: DecodeParams, *, is_wanted: Callable[[], bool] = _always
) -> list[list[Decoded]]:
    """Searches captions of encoded images, (B, C, G, G), as `decode` says; an n-best list per image, best first.

    The decoder has the weights that `decode` asks for already. Where a reranker is to choose, all beams are returned,
    the likeliest first: it is for whoever has one to ask it.

    Raises:
        UsageError: the captions asked for are longer than the decoder can write.
        Abandoned: `is_wanted`, which is asked before each word, said no.
    """
    if decode.max_tokens > decoder.max_tokens + 1:
        raise UsageError(
            f"This captioner writes at most {decoder.max_tokens} tokens, max_tokens is {decode.max_tokens}. Lower it."
        )
    next_token: NextToken = CachedNextToken(decoder, features, is_wanted=is_wanted)
    if decode.no_repeat_ngram:
        next_token = NoRepeatNgram(next_token, decode.no_repeat_ngram)
    num_images, device = features.shape[0], features.device
    if decode.method == "beam":
        found = beam_search(
            next_token,
            num_images=num_images,
            special=SPECIAL_TOKENS,
            num_beams=decode.num_beams,
            num_hypotheses=decode.num_hypotheses if decode.choice == "likeliest" else decode.num_beams,
            length_penalty=decode.length_penalty,
            max_tokens=decode.max_tokens,
            device=device,
        )
        if decode.choice == "consensus":
            ordered = (by_consensus(nbest, _alike, temperature=decode.temperature) for nbest in found)
            return [nbest[: decode.num_hypotheses] for nbest in ordered]
        return found
    if decode.method == "greedy":
        straight = greedy(
            next_token, num_images=num_images, special=SPECIAL_TOKENS, max_tokens=decode.max_tokens, device=device
        )
        return [[one] for one in straight]
    return sample(
        next_token,
        generators=[torch.Generator(device=device).manual_seed(decode.seed) for _ in range(num_images)],
        special=SPECIAL_TOKENS,
        max_tokens=decode.max_tokens,
        temperature=decode.temperature,
        top_p=decode.top_p,
        device=device,
    )


def _alike(captions: Sequence[Sequence[int]]) -> npt.NDArray[np.float64]:
    return pairwise_cider([[str(token) for token in caption] for caption in captions])


def _hypothesis(decoded: Decoded, tokenizer: CaptionTokenizer, calibration: Calibration) -> Hypothesis:
    probabilities = np.exp(decoded.token_log_probabilities)
    words = []
    for word, positions in tokenizer.words(decoded.tokens):
        probability = float(np.prod(probabilities[positions]))
        words.append(WordScore(word, probability, calibration.word(probability) if calibration.word else None))
    hypothesis = Hypothesis(
        caption=tokenizer.decode(decoded.tokens),
        words=tuple(words),
        log_probability=decoded.log_probability,
        score=decoded.score,
        is_complete=decoded.is_complete,
    )
    if calibration.caption is None:
        return hypothesis
    return replace(hypothesis, confidence=calibration.caption(hypothesis.mean_probability))
