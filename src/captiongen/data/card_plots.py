"""The plots of the data card, as SVG: no pyplot, no window, and the same bytes for the same data."""

from collections import Counter
from collections.abc import Mapping, Sequence
from io import BytesIO

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from captiongen.types import Split

SPLIT_COLOURS = {"train": "#3b6ea5", "dev": "#e08a1e", "test": "#4f9a5b", "unused": "#a8a29e"}
_STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#78716c",
    "axes.labelcolor": "#44403c",
    "xtick.color": "#57534e",
    "ytick.color": "#57534e",
    "font.size": 10,
    # Identifiers inside an SVG are random unless salted.
    "svg.hashsalt": "captiongen",
}


def caption_lengths(lengths: Mapping[str, Sequence[int]]) -> bytes:
    """Draws the share of captions by number of words, one line per split."""
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas()
        longest = min(40, max((max(values, default=0) for values in lengths.values()), default=0))
        edges = np.arange(0, longest + 2) - 0.5
        for split, values in lengths.items():
            shares, _ = np.histogram(np.minimum(values, longest), bins=edges)
            axes.plot(
                np.arange(0, longest + 1),
                100 * shares / max(1, len(values)),
                label=split,
                color=SPLIT_COLOURS[split],
                linewidth=2,
            )
        axes.set_xlabel("words in a caption")
        axes.set_ylabel("% of the split's captions")
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False)
        return _svg(figure)


def word_frequencies(counts: Counter[str], *, min_count: int | None) -> bytes:
    """Draws how often each training word occurs by its rank, both on log scales, and where the vocabulary ends."""
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas()
        frequencies = sorted(counts.values(), reverse=True)
        axes.loglog(np.arange(1, len(frequencies) + 1), frequencies, color=SPLIT_COLOURS["train"], linewidth=2)
        if min_count is not None:
            axes.axhline(min_count, color="#b91c1c", linewidth=1, linestyle="--")
            axes.text(1, min_count * 1.15, f"minimum count {min_count}", color="#b91c1c")
        axes.set_xlabel("rank of the word")
        axes.set_ylabel("occurrences in training captions")
        return _svg(figure)


def common_words(counts: Counter[str], *, num_words: int = 25) -> bytes:
    """Draws the most frequent training words."""
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas()
        # Ties are broken by spelling, not by the order of captions.
        words = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:num_words]
        axes.bar([word for word, _ in words], [count for _, count in words], color=SPLIT_COLOURS["train"])
        axes.tick_params(axis="x", rotation=90)
        axes.set_ylabel("occurrences in training captions")
        return _svg(figure)


def split_sizes(counts: Mapping[Split, int]) -> bytes:
    """Draws the number of images by split."""
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas()
        bars = axes.barh(list(counts), list(counts.values()), color=[SPLIT_COLOURS[split] for split in counts])
        axes.bar_label(bars, fmt="{:,.0f}", padding=4)
        axes.invert_yaxis()
        axes.set_xlabel("images")
        return _svg(figure)


def _canvas() -> tuple[Figure, mpl.axes.Axes]:
    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    return figure, figure.subplots()


def _svg(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    return buffer.getvalue()
