"""A proposal as HTML."""

import re

import pytest

from captiongen.data.corrections import Kind, Picture, Proposal
from captiongen.serving.review import ShownImage
from captiongen.serving.review_view import proposal_view
from tests.corrected import drop, relabel, weigh
from tests.datasets import encode, gradient

PICTURE = encode(gradient())
CAPTIONS = ("A dog & a cat .", "A <b>dog</b> .", "")


def view(proposal: Proposal, *images: ShownImage) -> str:
    return proposal_view(proposal, images or [ShownImage("a.png", PICTURE, CAPTIONS)], num_left=1234)


def test_the_caption_concerned_is_marked_among_the_others():
    """All captions are there, escaped, one of them marked; so are picture, reason, certainty and what is left."""
    shown = view(drop("a.png", CAPTIONS[1]))
    assert re.findall("<mark>(.*?)</mark>", shown) == ["A &lt;b&gt;dog&lt;/b&gt; ."]
    assert "<li>A dog &amp; a cat .</li>" in shown
    assert "Does not fit the picture." in shown
    assert "90%" in shown
    assert "1,234 to decide" in shown
    assert shown.count('<img alt="a.png" src="data:image/jpeg;base64,') == 1


def test_an_empty_caption_can_be_seen():
    """What has no letters is named."""
    assert "<mark><em>(empty)</em></mark>" in view(drop("a.png", ""))


def test_old_and_new_words_stand_side_by_side():
    """A relabelling shows both."""
    shown = view(relabel("a.png", CAPTIONS[0], "Two dogs ."))
    assert "<del>A dog &amp; a cat .</del> <ins>Two dogs .</ins>" in shown


def test_a_caption_that_is_gone_is_said_to_be():
    """What the image no longer has is shown all the same."""
    assert "<mark>A cow .</mark> <small>(no longer a caption of this image)" in view(drop("a.png", "A cow ."))


def test_a_slice_shows_its_first_images():
    """Pictures with a caption each, and how many more there are."""
    images = [ShownImage(name, PICTURE, CAPTIONS) for name in "ab"]
    shown = view(weigh("a", "b", "c", weight=2.5), *images)
    assert "Show these 3 images 2.5 times in each epoch?" in shown
    assert shown.count("<figure>") == 2
    assert "and 1 more<" in shown


def test_a_new_picture_is_shown_with_its_caption():
    """A picture of a user, and what the user wrote."""
    picture = Picture("f.jpg", "0" * 64)
    proposal = Proposal(Kind.ADD_IMAGE, ("f",), "feedback", "By a user.", 0.5, instead="A cat .", picture=picture)
    shown = view(proposal, ShownImage("f", PICTURE))
    assert "Train on this picture too?" in shown
    assert "<ins>A cat .</ins>" in shown


@pytest.mark.parametrize(("file", "words"), [(None, "is not here"), (PICTURE[:200], "cannot be shown")])
def test_a_picture_that_cannot_be_shown_is_said_to_be(file: bytes | None, words: str):
    """The rest can be read and decided."""
    shown = view(drop("a.png", CAPTIONS[0]), ShownImage("a.png", file, CAPTIONS))
    assert words in shown
    assert "<mark>" in shown
