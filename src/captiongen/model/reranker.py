"""What speaks for a caption besides the decoder's likelihood of it: the picture, and what was written of similar ones.

A search ranks captions by what the decoder, word by word, thought of them; better ones stand further down its list. A
matcher sees the picture and the caption as wholes (Fang et al. 2015, arXiv 1411.4952, who rerank with such a one), and
the captions of the most similar training pictures say how people put it (Devlin et al. 2015, arXiv 1505.04467). The
tensors of both are kept here, as part of a captioner.

Shapes: C channels, G side of the feature grid, N training pictures, M their captions, D width of the common space,
K captions of one picture, T tokens.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from captiongen.model.matcher import CaptionMatcher, pad_words
from captiongen.params import RerankerParams
from captiongen.text.tokenizer import CaptionTokenizer

#: What speaks for a caption; `Reranker.weights` has one weight for each.
EVIDENCE = ("likelihood", "likeness", "agreement")


class Reranker(nn.Module):
    """A matcher, and the training pictures and captions that it remembers.

    Args:
        params: how many neighbours are asked, and how much the nearest count.
        matcher: looks through the captioner's encoder.
        num_pictures: N.
        num_captions: M.
        num_tokens: of all captions together.

    Attributes:
        pictures: (N, D) what the matcher makes of the training pictures, unit length.
        tokens: words of all captions, one after the other, without begin and end.
        lengths: (M,) words of each caption.
        owners: (M,) each caption's picture.
        weights: of the evidence, in the order of `EVIDENCE`.
    """

    pictures: Tensor
    tokens: Tensor
    lengths: Tensor
    owners: Tensor
    weights: Tensor

    def __init__(
        self, params: RerankerParams, matcher: CaptionMatcher, *, num_pictures: int, num_captions: int, num_tokens: int
    ) -> None:
        super().__init__()
        self.params, self.matcher = params, matcher
        is_small = matcher.tokenizer.vocabulary_size <= torch.iinfo(torch.int16).max
        self.register_buffer("pictures", torch.zeros(num_pictures, params.matcher.width))
        self.register_buffer("tokens", torch.zeros(num_tokens, dtype=torch.int16 if is_small else torch.int32))
        self.register_buffer("lengths", torch.zeros(num_captions, dtype=torch.int32))
        self.register_buffer("owners", torch.zeros(num_captions, dtype=torch.int32))
        self.register_buffer("weights", torch.tensor([1.0] + [0.0] * (len(EVIDENCE) - 1)))

    @classmethod
    def remembering(
        cls, params: RerankerParams, matcher: CaptionMatcher, pooled: Tensor, captions: Sequence[Sequence[str]]
    ) -> "Reranker":
        """Makes one that goes by the likelihood alone until its weights are set.

        Args:
            params: of the reranker.
            matcher: trained.
            pooled: (N, C) features of the training pictures.
            captions: of each of them, in any spelling.
        """
        rows = [(picture, matcher.read(text)) for picture, of_one in enumerate(captions) for text in of_one]
        num_tokens = sum(len(words) for _, words in rows)
        made = cls(params, matcher, num_pictures=len(pooled), num_captions=len(rows), num_tokens=num_tokens)
        with torch.inference_mode():
            made.pictures.copy_(matcher.images(pooled))
        made.tokens.copy_(torch.cat([words for _, words in rows]))
        made.lengths.copy_(torch.tensor([len(words) for _, words in rows]))
        made.owners.copy_(torch.tensor([picture for picture, _ in rows]))
        return made.eval()

    @classmethod
    def fitting(cls, params: RerankerParams, state: Mapping[str, Tensor], *, tokenizer: CaptionTokenizer) -> "Reranker":
        """Makes one that a stored state fits, to load it into.

        Args:
            params: of the reranker.
            state: name -> tensor, as `state_dict` of one gives it.
            tokenizer: of the captioner.

        Raises:
            KeyError: a tensor is missing.
            ValueError: one that counts is not of whole numbers.
        """
        for name in ("tokens", "lengths", "owners"):
            if state[name].is_floating_point():
                raise ValueError(f"expected whole numbers in {name}, found {state[name].dtype}")
        num_channels = state["matcher.projection.weight"].shape[1]
        matcher = CaptionMatcher(params.matcher, num_channels=num_channels, tokenizer=tokenizer)
        return cls(
            params,
            matcher,
            num_pictures=len(state["pictures"]),
            num_captions=len(state["lengths"]),
            num_tokens=len(state["tokens"]),
        )

    def check(self) -> None:
        """Refuses tensors that fit each other in shape alone.

        Raises:
            ValueError: captions of no picture, words of no vocabulary, lengths that are not those of the words, or
                numbers that are none.
        """
        if not len(self.pictures):
            raise ValueError("expected a reranker that remembers pictures, found none")
        if (self.lengths < 0).any() or int(self.lengths.sum()) != len(self.tokens):
            raise ValueError(f"expected captions of {len(self.tokens):,} words, found lengths of other ones")
        for name, numbers, limit in (
            ("owners", self.owners, len(self.pictures)),
            ("tokens", self.tokens, self.matcher.tokenizer.vocabulary_size),
        ):
            if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < limit:
                raise ValueError(f"expected {name} of 0 to {limit - 1:,}, found {numbers.min()} to {numbers.max()}")
        if (torch.bincount(self.owners, minlength=len(self.pictures)) == 0).any():
            raise ValueError("expected captions of every picture that is remembered, found some without")
        if not (self.weights.isfinite().all() and (self.weights >= 0).all() and self.weights.any()):
            raise ValueError(f"expected weights of 0 and more, not all 0, found {self.weights.tolist()}")
        if not self.pictures.isfinite().all():
            raise ValueError("expected pictures of numbers, found some that are none")

    def captions(self) -> list[list[tuple[int, ...]]]:
        """Returns the words of each training picture's captions."""
        found: list[list[tuple[int, ...]]] = [[] for _ in self.pictures]
        words = torch.split(self.tokens, self.lengths.tolist())
        for picture, of_one in zip(self.owners.tolist(), words, strict=True):
            found[picture].append(tuple(of_one.tolist()))
        return found

    @torch.inference_mode()
    def look(self, features: Tensor) -> tuple[Tensor, list[tuple[int, float]]]:
        """Looks at a picture.

        Args:
            features: (C, G, G) of the captioner's encoder.

        Returns:
            What the matcher makes of it, (D,), and the most similar training pictures, each with its weight; together
            they weigh 1.
        """
        seen = self.matcher.images(features[None])[0]
        cosines, nearest = (self.pictures @ seen).topk(min(self.params.num_neighbours, len(self.pictures)))
        weights = (cosines / self.params.temperature).softmax(dim=0)
        return seen, list(zip(nearest.tolist(), weights.tolist(), strict=True))

    @torch.inference_mode()
    def likeness(self, seen: Tensor, captions: Sequence[Sequence[int]]) -> Tensor:
        """Returns the cosine, (K,), of what was seen, (D,), with captions, as words without begin and end."""
        rows = [torch.tensor(words, dtype=torch.long) for words in captions]
        return self.matcher.captions(pad_words(rows)) @ seen
