"""CIDEr-D as a torchmetrics Metric: for training loops and whoever scores on several processes.

Apart from `captiongen.metrics.cider`, because this module imports torch and the rest of the package does not.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torchmetrics import Metric

from captiongen.errors import DataError
from captiongen.metrics.cider import CiderScorer, DocumentFrequencies
from captiongen.text.normalise import metric_tokens

# ASCII separators that the tokenizer never leaves inside a token.
_END_OF_CAPTION, _END_OF_IMAGE = "\x1f", "\x1e"


class CiderD(Metric):  # type: ignore[misc]  # torchmetrics is untyped here
    """CIDEr-D (0..1000) of all captions seen, document frequencies from all references seen unless given.

    The state is the tokenised text itself, as UTF-8 bytes in one uint8 tensor: it can be gathered across processes and
    saved, and the frequencies are counted over the whole set at `compute`, never per batch. Where processes pad their
    share of images with repeats, the repeats count: give each image to one process.

    Args:
        document_frequencies: fixed frequencies, such as those of the training references.
        kwargs: of `torchmetrics.Metric`.

    Example:
        >>> metric = CiderD()
        >>> metric.update(["a dog runs", "a cat"], [["a dog runs"], ["two cats sit"]])
        >>> float(metric.compute()) > 0
        True
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1000.0

    text: list[Tensor] | Tensor  # one tensor after a gathering

    def __init__(self, document_frequencies: DocumentFrequencies | None = None, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._document_frequencies = document_frequencies
        self.add_state("text", default=[], dist_reduce_fx="cat")

    def update(self, preds: Sequence[str], target: Sequence[Sequence[str]]) -> None:
        """Adds images: one hypothesis and one or more references each.

        Raises:
            DataError: the two differ in length, or an image has no reference.
        """
        if len(preds) != len(target) or not all(target):
            raise DataError(
                f"CIDEr needs one hypothesis and at least one reference per image, found {len(preds)} hypotheses and "
                f"{sum(bool(references) for references in target)} images with references."
            )
        records = [
            _END_OF_CAPTION.join(" ".join(metric_tokens(caption)) for caption in (hypothesis, *references))
            for hypothesis, references in zip(preds, target, strict=True)
        ]
        content = "".join(record + _END_OF_IMAGE for record in records).encode("utf-8")
        cast(list[Tensor], self.text).append(torch.tensor(list(content), dtype=torch.uint8, device=self.device))

    def compute(self) -> Tensor:
        """Returns the mean over images, a double scalar.

        Raises:
            DataError: no image was added.
        """
        return self.compute_per_image().mean()

    def compute_per_image(self) -> Tensor:
        """Returns the score of each image in the order it came, shape (images,), double.

        Raises:
            DataError: no image was added.
        """
        text = (
            self.text if isinstance(self.text, Tensor) else torch.cat(self.text or [torch.zeros(0, dtype=torch.uint8)])
        )
        records = bytes(text.tolist()).decode("utf-8").split(_END_OF_IMAGE)[:-1]
        if not records:
            raise DataError("CIDEr of no images is undefined; call update() with at least one image first.")
        hypotheses, references = [], {}
        for index, record in enumerate(records):
            hypothesis, *others = (caption.split() for caption in record.split(_END_OF_CAPTION))
            hypotheses.append(hypothesis)
            references[str(index)] = others
        scorer = CiderScorer(references, document_frequencies=self._document_frequencies)
        return torch.from_numpy(scorer.score_all(list(references), hypotheses)).to(self.device)

    def sync(self, *args: object, **kwargs: object) -> None:
        """Gathers the text of all processes; one that saw no image takes part with none."""
        if isinstance(self.text, list) and not self.text:
            # torchmetrics would send an empty float tensor, which does not match the others' bytes.
            self.text.append(torch.zeros(0, dtype=torch.uint8, device=self.device))
        super().sync(*args, **kwargs)
