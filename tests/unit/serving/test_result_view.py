"""A caption as HTML: what it says, and that nothing in it is taken for markup."""

import base64
import re
from io import BytesIO

import numpy as np
from PIL import Image
from tiny import tiny_picture

from captiongen.serving.answer import ModelCard
from captiongen.serving.result_view import Captioned, caution_view, model_view, refusal_view, result_view
from captiongen.types import CaptionResult, Hypothesis, Preprocessing, WordScore

SQUASH = Preprocessing(image_size_px=64, resize="squash")


def draw(result: CaptionResult, picture: Image.Image | None = None, *, receipt: str | None = None) -> str:
    return result_view(Captioned(picture or tiny_picture(), result, receipt), SQUASH)


def captioned(*words: str, is_complete: bool = True) -> CaptionResult:
    best = Hypothesis(" ".join(words), tuple(WordScore(word, 0.875) for word in words), -2.0, -0.5, is_complete)
    other = Hypothesis("another one", (), -5.0, -1.25)
    return CaptionResult((best, other), np.full((len(words), 2, 2), 0.25, dtype=np.float32))


def test_every_word_has_its_button_probability_and_spotlight() -> None:
    """Words, percentages and spotlights come in the same order and number; none is chosen at first."""
    view = draw(captioned("a", "red", "ball"))
    assert re.findall(r"<span>(\w+)</span><small>(\d+)", view)[:3] == [("a", "88"), ("red", "88"), ("ball", "88")]
    assert re.findall(r'class="cg-spotlight" data-word="(\d)"', view) == ["0", "1", "2"]
    assert re.findall(r'value="(\d*)" checked', view) == [""]


def test_a_calibrated_word_shows_its_confidence_and_a_doubtful_caption_its_doubt() -> None:
    """What stands under a word is the chance that it fits, where that is known; doubt is said in words."""
    best = Hypothesis("ball", (WordScore("ball", 0.9, confidence=0.6),), -0.1, -0.1, confidence=0.15)
    doubtful = draw(CaptionResult((best,), is_doubtful=True))
    assert re.findall(r"<span>(\w+)</span><small>(\d+)", doubtful)[:1] == [("ball", "60")]
    assert "chance of 15 %" in doubtful
    assert "doubts" not in draw(CaptionResult((best,)))


def test_candidates_are_listed_best_first_with_scores() -> None:
    """The chosen caption leads the list of candidates."""
    view = draw(captioned("a", "ball"))
    assert re.findall(r"<li.*?><span>(.*?)</span><small>(.*?)</small>", view) == [
        ("a ball", "-0.50"),
        ("another one", "-1.25"),
    ]
    assert "probability of 14 %" in view  # exp(-2)


def test_unfinished_caption_is_marked() -> None:
    """A caption that was cut at the length limit ends in an ellipsis."""
    assert "a ball …</p>" in draw(captioned("a", "ball", is_complete=False))
    assert "a ball</p>" in draw(captioned("a", "ball"))


def test_text_is_never_markup() -> None:
    """Words, messages and names are escaped."""
    evil = '<script>"x"</script>'
    card = ModelCard(name=evil, version="1", run_id="", git_sha="", dataset="d", data_hash="0", bento="b")
    for view in (draw(captioned(evil)), refusal_view(evil), model_view(card)):
        assert "<script" not in view


def test_model_view_leaves_out_what_is_unknown() -> None:
    """A model without a run shows no run."""
    card = ModelCard(
        name="m", version="1", run_id="", git_sha="abcdef012", dataset="d", data_hash="0" * 64, bento="b:1"
    )
    assert "<dt>run</dt>" not in model_view(card)
    assert "<dd>abcdef01</dd>" in model_view(card)


def test_a_model_of_drawings_says_so() -> None:
    """Only where the drawn sample data trained the model is there a caution about photographs."""
    card = ModelCard(name="m", version="1", run_id="", git_sha="", dataset="scenes", data_hash="0", bento="b")
    assert "photograph is nonsense" in caution_view(card)
    assert caution_view(card.model_copy(update={"dataset": "flickr8k"})) == ""


def test_picture_is_shown_as_it_is() -> None:
    """The page carries the small copy that it is given, unchanged in size."""
    shown = draw(captioned("a"), tiny_picture(size=(320, 160)))
    body = re.findall(r"data:image/jpeg;base64,([^\"]+)", shown)[0]
    assert Image.open(BytesIO(base64.b64decode(body))).size == (320, 160)


def test_a_caption_with_a_receipt_can_be_reported() -> None:
    """Only where the service takes reports is there a form, and pictures of our own need no consent."""
    report = "Report this caption"
    assert report not in draw(captioned("a"))
    own = draw(captioned("a"), receipt="r")
    ours = result_view(Captioned(tiny_picture(), captioned("a"), "r"), SQUASH, is_upload=False)
    assert report in own
    assert report in ours
    assert ("consent" in own, "consent" in ours) == (True, False)
