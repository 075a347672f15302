"""Receipts: what goes out with a caption comes back as it was, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captiongen.data.feedback import ReportedModel
from captiongen.serving.limits import BadReport
from captiongen.serving.receipts import Receipts

MODEL = ReportedModel(name="captiongen", version="7", weights_sha256="f" * 64, bento="captiongen:7")
RECEIPTS = Receipts(b"s" * 32, MODEL)
GIVEN = RECEIPTS.give("a ball", "a" * 64)


@given(caption=st.text(st.characters(exclude_categories=["Cs"])))
def test_a_receipt_says_what_was_given(caption: str):
    """Any caption, the file's hash and the model come back, under an id of their own."""
    one, other = (RECEIPTS.read(RECEIPTS.give(caption, "a" * 64)) for _ in range(2))
    assert (one.caption, one.upload_sha256, one.model) == (caption, "a" * 64, MODEL)
    assert one.id != other.id


def test_a_receipt_outlives_the_model_that_gave_it():
    """After another model went into service, a report still names the one that was wrong."""
    newer = Receipts(b"s" * 32, MODEL.model_copy(update={"version": "8"}))
    assert newer.read(GIVEN).model == MODEL


@given(data=st.data())
def test_a_changed_receipt_is_refused(data: st.DataObject):
    """No character can be changed or left out."""
    place = data.draw(st.integers(0, len(GIVEN) - 2))  # some bits of base64's last character mean nothing
    character = data.draw(st.sampled_from("aZ09-_.x"))
    changed = GIVEN[:place] + character + GIVEN[place + 1 :]
    for forged in (changed, GIVEN[:place]):
        if forged != GIVEN:
            with pytest.raises(BadReport, match="another text"):
                RECEIPTS.read(forged)


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_other_text_is_refused(text: str):
    """What we did not sign is no receipt, and no other error."""
    with pytest.raises(BadReport):
        RECEIPTS.read(text)


def test_the_receipt_of_another_service_is_refused():
    """Without the secret there is no receipt."""
    with pytest.raises(BadReport, match="another text"):
        RECEIPTS.read(Receipts(b"o" * 32, MODEL).give("a ball", "a" * 64))


def test_an_old_receipt_is_refused():
    """After its time a receipt says that it is too old, and what to do."""
    with pytest.raises(BadReport, match="older one"):
        Receipts(b"s" * 32, MODEL, seconds=-1).read(GIVEN)
