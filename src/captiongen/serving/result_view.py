"""A caption as HTML: the sentence, how sure the model was of each word, and where it looked while it wrote it.

Choosing a word needs no request: each word is a radio button, each spotlight an image over the picture, and the style
sheet shows the one that belongs to the other. At first none is chosen, and the picture is as it is.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from PIL import Image

from captiongen.serving.answer import ModelCard
from captiongen.serving.attention import data_uri, seen_part, spotlight
from captiongen.serving.report_view import report_view
from captiongen.types import CaptionResult, Preprocessing, WordScore

WAITING = (
    '<div class="cg-empty"><b>The caption appears here.</b><br>'
    "Drop a photograph on the left, paste one, or take one with your camera.</div>"
)


class Captioned(NamedTuple):
    """A picture with its caption.

    Attributes:
        picture: in the size in which it is shown.
        result: what the model says of it; with attention, it says where it looked.
        receipt: to report the caption with; None where no reports are taken.
    """

    picture: Image.Image
    result: CaptionResult
    receipt: str | None


def refusal_view(message: str) -> str:
    """Shows why there is no caption."""
    return f'<div class="cg-refusal" role="alert">{escape(message)}</div>'


def result_view(captioned: Captioned, preprocessing: Preprocessing, *, is_upload: bool = True) -> str:
    """Shows a caption with its words, their probabilities and attention, the runners-up, and how to report it.

    Args:
        captioned: the picture and its caption.
        preprocessing: how the model wants its pictures, to place its attention.
        is_upload: the picture is the visitor's own; of others no copy is asked for in a report.
    """
    picture, result, receipt = captioned
    best = result.best
    ending = "" if best.is_complete else " …"
    parts = [
        f'<p class="cg-caption">{escape(best.caption or "(no words)")}{ending}</p>',
        _doubt(result),
        _words(best.words),
        _stage(picture, result, preprocessing),
        "" if receipt is None else report_view(receipt, with_picture=is_upload),
        _candidates(result),
    ]
    return f'<div class="cg-result">{"".join(parts)}</div>'


def model_view(card: ModelCard) -> str:
    """Shows which model answers; folded away, where it comes from."""
    facts = {
        "trained on": f"{card.dataset} {card.data_hash[:8]}",
        "run": card.run_id[:8],
        "code": card.git_sha[:8],
        "bento": card.bento,
    }
    shown = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items() if value)
    summary = f"About this model: {escape(card.name)} {escape(card.version)}"
    return f'<details class="cg-model"><summary>{summary}</summary><dl>{shown}</dl></details>'


def caution_view(card: ModelCard) -> str:
    """Warns where the model's training leaves it without a word for what people will show it; "" elsewhere."""
    if card.dataset != "scenes":
        return ""
    return (
        '<p class="cg-caution" role="note"><b>This model has only ever seen drawings</b>, the sample data of this '
        "project. What it says of a photograph is nonsense: try a drawn scene.</p>"
    )


def _doubt(result: CaptionResult) -> str:
    """Says so where the model would rather say nothing."""
    if not result.is_doubtful or result.best.confidence is None:
        return ""
    percent = round(100 * result.best.confidence)
    return (
        f'<p class="cg-caution" role="note"><b>The model doubts this caption</b>: it gives it a chance of {percent} % '
        "to be as good as a person's.</p>"
    )


def _words(words: Sequence[WordScore]) -> str:
    """The words as radio buttons, coloured by confidence, and the rules that tie each to its spotlight."""
    buttons, rules = [], []
    for index, one in enumerate(words):
        sure = one.probability if one.confidence is None else one.confidence
        percent = round(100 * sure)
        buttons.append(
            f'<label class="cg-word" style="--sure:{sure:.3f}" title="{percent} % sure">'
            f'<input type="radio" name="cg-word" value="{index}">'
            f"<span>{escape(one.word)}</span><small>{percent}&thinsp;%</small></label>"
        )
        chosen = f'.cg-result:has(.cg-word input[value="{index}"]:checked)'
        rules.append(f'{chosen} .cg-spotlight[data-word="{index}"]{{opacity:1}}')
    if not words:
        return ""
    # Last, so that the arrow keys go on from it to the first word.
    buttons.append(
        '<label class="cg-whole"><input type="radio" name="cg-word" value="" checked><span>whole picture</span></label>'
    )
    hint = '<p class="cg-hint">Choose a word to see where the model looked when it wrote it.</p>'
    group = '<div class="cg-words" role="radiogroup" aria-label="Words of the caption">'
    return f"<style>{''.join(rules)}</style>{hint}{group}{''.join(buttons)}</div>"


def _stage(picture: Image.Image, result: CaptionResult, preprocessing: Preprocessing) -> str:
    left, top, width, height = (f"{100 * fraction:.2f}%" for fraction in seen_part(picture.size, preprocessing))
    place = f"left:{left};top:{top};width:{width};height:{height}"
    spotlights = "".join(
        f'<img class="cg-spotlight" data-word="{index}" style="{place}" src="{data_uri(spotlight(one))}" alt="">'
        for index, one in enumerate(() if result.attention is None else result.attention)
    )
    base = f'<img src="{data_uri(picture, format="JPEG")}" alt="{escape(result.best.caption, quote=True)}">'
    return f'<div class="cg-stage">{base}{spotlights}</div>'


def _candidates(result: CaptionResult) -> str:
    """The n-best list with its scores, the chosen caption first."""
    if len(result.hypotheses) == 1:
        return ""
    rows = "".join(
        f'<li title="As a whole it has a probability of {100 * math.exp(one.log_probability):.2g} %.">'
        f"<span>{escape(one.caption)}</span><small>{one.score:.2f}</small></li>"
        for one in result.hypotheses
    )
    heading = "<h3>Captions it weighed <small>score</small></h3>"
    note = '<p class="cg-hint">Score: what they were ranked by, for this picture only. The higher, the better.</p>'
    return f'<div class="cg-candidates">{heading}<ol>{rows}</ol>{note}</div>'
