"""Feedback becomes proposals."""

import hashlib
from pathlib import Path

from captiongen.data.corrections import Kind, Picture
from captiongen.data.feedback import FeedbackFolder
from captiongen.data.reported_captions import reported_captions
from tests.corrected import Feedback
from tests.datasets import encode, gradient


def test_a_corrected_picture_becomes_an_image_to_add(tmp_path: Path):
    """Picture and correction are proposed, under a name that the picture decides, with what the model had said."""
    feedback, data = Feedback(FeedbackFolder(tmp_path)), encode(gradient(), "JPEG")
    feedback.keep("A cat sleeps.", data)
    [(proposal, picture)] = reported_captions(feedback.folder)
    sha256 = hashlib.sha256(data).hexdigest()
    assert picture == data
    assert (proposal.kind, proposal.source, proposal.instead) == (Kind.ADD_IMAGE, "feedback", "A cat sleeps.")
    assert proposal.picture == Picture(f"feedback-{sha256[:16]}.jpg", sha256)
    assert proposal.image_ids == (f"feedback-{sha256[:16]}",)
    assert proposal.reason == "A user corrected 'a dog runs' (object), by captiongen 3."


def test_without_a_picture_or_words_nothing_is_proposed(tmp_path: Path):
    """A report without consent to keep the picture, or without a caption in words, teaches nothing."""
    feedback, data = Feedback(FeedbackFolder(tmp_path)), encode(gradient(), "JPEG")
    feedback.keep("A cat sleeps.", None)
    feedback.keep(None, data)
    feedback.keep(" ?! ", data)
    assert list(reported_captions(feedback.folder)) == []


def test_one_picture_with_two_corrections_is_one_image(tmp_path: Path):
    """Each correction is a proposal of its own, on the same image."""
    feedback, data = Feedback(FeedbackFolder(tmp_path)), encode(gradient(), "JPEG")
    feedback.keep("A cat sleeps.", data)
    feedback.keep("A cat on a sofa.", data)
    (first, _), (second, _) = reported_captions(feedback.folder)
    assert first.id != second.id
    assert first.image_ids == second.image_ids
