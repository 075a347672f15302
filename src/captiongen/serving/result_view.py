"""A caption as HTML: the sentence, how sure the model was of each word, and where it looked while it wrote it.

Choosing a word needs no request: each word is a radio button, each spotlight an image over the picture, and the style
sheet shows the one that belongs to the other.
"""

from collections.abc import Sequence
from html import escape

from PIL import Image

from captiongen.serving.answer import ModelCard
from captiongen.serving.attention import data_uri, seen_part, spotlight
from captiongen.types import CaptionResult, Preprocessing, WordScore

WAITING = (
    '<div class="cg-empty"><b>The caption appears here.</b><br>'
    "Drop a photograph on the left, paste one, or take one with your camera.</div>"
)


def refusal_view(message: str) -> str:
    """Shows why there is no caption."""
    return f'<div class="cg-refusal" role="alert">{escape(message)}</div>'


def result_view(picture: Image.Image, result: CaptionResult, preprocessing: Preprocessing) -> str:
    """Shows a caption with its words, their probabilities and attention, and the runners-up.

    Args:
        picture: in the size in which it is shown.
        result: what the model says of it; with attention, it says where it looked.
        preprocessing: how that model wants its pictures, to place its attention.
    """
    best = result.best
    ending = "" if best.is_complete else " …"
    parts = [
        f'<p class="cg-caption">{escape(best.caption or "(no words)")}{ending}</p>',
        _words(best.words),
        _stage(picture, result, preprocessing),
        _candidates(result),
    ]
    return f'<div class="cg-result">{"".join(parts)}</div>'


def model_view(card: ModelCard) -> str:
    """Shows which model answers, and where it comes from."""
    facts = {
        "model": f"{card.name} {card.version}",
        "trained on": f"{card.dataset} {card.data_hash[:8]}",
        "run": card.run_id[:8],
        "code": card.git_sha[:8],
        "bento": card.bento,
    }
    shown = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts.items() if value)
    return f'<dl class="cg-model">{shown}</dl>'


def _words(words: Sequence[WordScore]) -> str:
    """The words as radio buttons, coloured by probability, and the rules that tie each to its spotlight."""
    buttons, rules = [], []
    for index, one in enumerate(words):
        percent = round(100 * one.probability)
        buttons.append(
            f'<label class="cg-word" style="--sure:{one.probability:.3f}" title="{percent} % sure">'
            f'<input type="radio" name="cg-word" value="{index}"{" checked" if index == 0 else ""}>'
            f"<span>{escape(one.word)}</span><small>{percent}&thinsp;%</small></label>"
        )
        chosen = f'.cg-result:has(.cg-word input[value="{index}"]:checked)'
        rules.append(f'{chosen} .cg-spotlight[data-word="{index}"]{{opacity:1}}')
    hint = '<p class="cg-hint">Choose a word to see where the model looked when it wrote it.</p>' if words else ""
    return f'<style>{"".join(rules)}</style>{hint}<div class="cg-words" role="radiogroup">{"".join(buttons)}</div>'


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
        f"<li><span>{escape(one.caption)}</span><small>{one.score:.2f}</small></li>" for one in result.hypotheses
    )
    explanation = "Log-probability of the whole caption, normalised by its length; higher is better."
    heading = f'<h3>Captions it weighed <small title="{explanation}">score</small></h3>'
    return f'<div class="cg-candidates">{heading}<ol>{rows}</ol></div>'
