"""Wrong captions are found and told apart, and corrections of them proposed."""

import re
from dataclasses import fields

import numpy as np
import pytest
import torch
from colour_world import COLOURS, THINGS, SeeingLikelihood, colour_world
from hypothesis import given
from hypothesis import strategies as st

from captiongen.analysis.labels.caption_audit import CaptionAudit, audit_captions, find_plain_errors
from captiongen.analysis.labels.caption_evidence import CaptionEvidence, EvidenceReader
from captiongen.analysis.labels.hard_images import HardImage, find_hard_images, propose_hard_images
from captiongen.analysis.labels.label_errors import PLANTED, ErrorProbability, LabelError, plant
from captiongen.analysis.labels.suspects import Suspect, propose
from captiongen.data.corrections import Kind
from captiongen.params import AuditParams
from captiongen.text.normalise import normalise_caption


def _audit(captions: dict[str, tuple[str, ...]], features: np.ndarray) -> CaptionAudit:
    reader = EvidenceReader(SeeingLikelihood(), torch.from_numpy(features[:4]), range(4), list(captions.values()))
    return audit_captions(captions, features, reader, AuditParams())


def _replaced(captions: dict[str, tuple[str, ...]], changes: dict[tuple[str, int], str]) -> dict[str, tuple[str, ...]]:
    return {
        image_id: tuple(changes.get((image_id, place), text) for place, text in enumerate(texts))
        for image_id, texts in captions.items()
    }


@pytest.fixture(scope="module")
def world() -> tuple[dict[str, tuple[str, ...]], np.ndarray]:
    return colour_world(150)


@pytest.fixture(scope="module")
def changes(world) -> dict[tuple[str, int], tuple[str, LabelError]]:
    """Captions made wrong: exchanged between neighbours that show nothing alike, cut, and shuffled."""
    captions, features = world
    image_ids = list(captions)
    unlike = [n for n in range(0, 40, 2) if (features[n] != features[n + 1]).all()]
    found = {}
    for one, other in ((image_ids[n], image_ids[n + 1]) for n in unlike):
        found[one, 1] = (captions[other][1], LabelError.SWAPPED)
        found[other, 1] = (captions[one][1], LabelError.SWAPPED)
    for image_id in image_ids[50:54]:
        found[image_id, 0] = (" ".join(captions[image_id][0].split()[:4]), LabelError.TRUNCATED)
    for image_id in image_ids[60:64]:
        found[image_id, 2] = (" ".join(captions[image_id][2].split()[::-1]), LabelError.DISORDERED)
    return found


@pytest.fixture(scope="module")
def audit(world, changes) -> CaptionAudit:
    captions, features = world
    return _audit(_replaced(captions, {key: text for key, (text, _) in changes.items()}), features)


def test_captions_made_wrong_are_found_and_nothing_else(audit, changes):
    """Exchanged, cut and shuffled captions are the suspects, each of its kind."""
    found = {(one.image_id, one.place): one.kind for one in audit.suspects}
    assert found == {key: kind for key, (_, kind) in changes.items()}


def test_the_owner_of_a_swapped_caption_shows_what_it_says(audit, world):
    """Most swapped captions are said to be of another image, and it shows the thing, in the colour, that they name."""
    captions, features = world
    shown = {
        image_id: {COLOURS[int(colour)], THINGS[int(thing)]}
        for image_id, (colour, thing) in zip(captions, features[:, :, 0, 0], strict=True)
    }
    swapped = [one for one in audit.suspects if one.kind is LabelError.SWAPPED]
    found = [one for one in swapped if one.belongs_to is not None]
    assert len(found) > 0.7 * len(swapped)
    assert all(shown[one.belongs_to] <= set(one.caption.split()) for one in found)


def test_how_frequent_errors_are_is_estimated(audit, changes):
    """The estimated shares are those of the planted errors, to half a per cent."""
    for kind in PLANTED:
        true = sum(of is kind for _, of in changes.values()) / 750
        assert audit.frequencies[kind] == pytest.approx(true, abs=0.005)


def test_clean_captions_are_left_alone(world):
    """Where nothing is wrong nothing is suspected."""
    assert _audit(*world).suspects == ()


def test_images_are_hard_whose_captions_agree_and_are_unlikely_and_not_suspected(world):
    """What the captioner cannot see is hard; wrong captions, the middling, and what nobody agrees on are not."""
    captions, _ = world
    image_ids, own = list(captions), [(image, place, "") for image in range(len(captions)) for place in range(5)]

    def of(image: int) -> CaptionEvidence:
        likelihood, agreement = {3: (-6.0, 0.6), 4: (-9.0, 0.6), 5: (-9.0, 0.1), 6: (-7.0, 0.6)}.get(image, (-2.0, 0.5))
        return CaptionEvidence(likelihood + 0.01 * (image % 9), -5.0, -9.0, 1.0, 0.0, -1.0, agreement, 8)

    evidence = [of(image) for image, _, _ in own]
    suspected = {image_ids[4]}
    found = find_hard_images(own, evidence, image_ids, suspected, num_hard_images=20)
    assert [one.image_id for one in found] == [image_ids[6], image_ids[3]]
    (first,) = find_hard_images(own, evidence, image_ids, suspected, num_hard_images=1)
    assert first == found[0]
    single = [one for one in own if one[1] == 0]
    assert find_hard_images(single, evidence[::5], image_ids, suspected, num_hard_images=20) == ()


def test_a_hard_image_is_proposed_to_be_shown_twice_and_never_surer_than_its_captions_agree(world):
    """Each is a proposal of its own, so that one that is not worth it can be left out."""
    hard = (HardImage("a", -4.0, 3.2, 0.61), HardImage("b", -3.9, 3.0, 0.4))
    proposals = propose_hard_images(hard)
    assert [(one.kind, one.image_ids, one.weight, one.score) for one in proposals] == [
        (Kind.WEIGHT_IMAGES, ("a",), 2.0, 0.61),
        (Kind.WEIGHT_IMAGES, ("b",), 2.0, 0.4),
    ]
    assert "1.83%" in proposals[0].reason
    assert "3.2 robust deviations" in proposals[0].reason


def test_pictures_that_nobody_could_read_are_hard_and_their_captions_are_not_suspected(world):
    """In a whole audit a picture that shows nothing of what its five agreeing captions say is the hardest."""
    captions, features = world
    hidden = features.copy()
    hidden[12] = -1.0
    audit = _audit(captions, hidden)
    assert audit.hard[0].image_id == "image-0012"
    assert {(one.image_id, one.kind) for one in audit.suspects} == {("image-0012", LabelError.UNLIKELY)}


def test_nearly_empty_and_repeated_captions_need_no_captioner():
    """Captions of too few words and those that an image has twice are found; a full stop makes no difference."""
    captions = {"a": ("A .", "two dogs run", "Two dogs run ."), "b": ("two dogs run", ""), "c": ("a cat sits",)}
    found = {(one.image_id, one.place): one.kind for one in find_plain_errors(captions, min_words=3)}
    assert found == {("a", 0): LabelError.EMPTY, ("a", 2): LabelError.DUPLICATE, ("b", 1): LabelError.EMPTY}


def test_a_reason_says_what_each_number_is_the_chance_of(audit: CaptionAudit):
    """Of words out of order: a word's chance under other pictures, and the median of all captions beside it."""
    (reason, *_) = [one.reason for one in audit.suspects if one.kind is LabelError.DISORDERED]
    own, usual = re.fullmatch(
        r"Under other pictures, each of its words has a chance of ([\d.]+)% to follow those before it "
        r"\(geometric mean\); the median of all captions is ([\d.]+)%\..*",
        reason,
    ).groups()
    assert (float(own) < float(usual)) == ("not unusual" not in reason)


def _suspect(kind: LabelError, **more) -> Suspect:
    return Suspect("a", 0, "some words here", kind, 0.75, "Why.", **more)


@pytest.mark.parametrize(
    ("suspect", "kind"),
    [
        (_suspect(LabelError.TRUNCATED), Kind.DROP_CAPTION),
        (_suspect(LabelError.SWAPPED, belongs_to="b"), Kind.DROP_CAPTION),
        (_suspect(LabelError.DUPLICATE), Kind.DROP_CAPTION),
        (_suspect(LabelError.DUPLICATE, is_verbatim=True), Kind.MERGE_CAPTIONS),
    ],
)
def test_each_suspect_has_its_correction(suspect: Suspect, kind: Kind):
    """Wrong captions are dropped, verbatim repetitions merged; the probability is the score."""
    (proposal,) = propose([suspect])
    assert (proposal.kind, proposal.score, proposal.image_ids) == (kind, 0.75, ("a",))
    assert (proposal.caption, proposal.instead) == (suspect.caption, None)


def test_nothing_is_proposed_for_what_is_only_unlikely():
    """An unlikely caption may be right: it is shown, and no correction is proposed."""
    assert propose([_suspect(LabelError.UNLIKELY)]) == []


@given(
    captions=st.lists(st.lists(st.text("ab ", max_size=30), max_size=4), max_size=8),
    kind=st.sampled_from(PLANTED),
    num_planted=st.integers(0, 20),
)
def test_planted_errors_differ_from_what_they_stand_for(captions, kind, num_planted):
    """A planted caption never has the words, in their order, of the caption whose place it takes."""
    planted = plant(captions, kind, num_planted=num_planted, seed=0)
    assert len(planted) <= num_planted
    assert all(text != normalise_caption(captions[image][place]) for image, place, text in planted)


def test_captions_too_short_to_be_made_wrong_are_looked_through_all_the_same():
    """With nothing to learn from, empty and doubled captions are found, and no guess is made of the others."""
    captions = {"a": ("a dog runs", "a dog runs"), "b": ("", "a cat sits")}
    found = _audit(captions, np.zeros((2, 4), dtype=np.float32))
    assert [(one.image_id, one.place, one.kind) for one in found.suspects] == [
        ("a", 1, LabelError.DUPLICATE),
        ("b", 0, LabelError.EMPTY),
    ]
    assert found.frequencies == {}


def test_images_with_one_caption_each_can_be_audited(world):
    """Where no other caption remains to compare with, swapped ones have no likely owner, and nothing fails."""
    captions, features = world
    alone = {image_id: texts[:1] for image_id, texts in captions.items()}
    image_ids = list(alone)
    for one, other in zip(image_ids[:20:2], image_ids[1:20:2], strict=True):
        alone[one], alone[other] = alone[other], alone[one]
    found = _audit(alone, features)
    assert all(one.belongs_to is None for one in found.suspects)


class KnowsNothing:
    """Finds the same of every caption."""

    def read(self, features, candidates):
        return [CaptionEvidence(*(0.0 for _ in fields(CaptionEvidence))) for _ in candidates]


def test_a_captioner_that_finds_most_captions_wrong_is_not_believed(world):
    """Where right captions look like planted errors nothing is proposed, and the audit says why."""
    captions, features = world
    first, texts = next(iter(captions.items()))
    repeated = {**captions, first: (texts[0], *texts[:-1])}
    found = audit_captions(repeated, features, KnowsNothing(), AuditParams())
    assert "not asked" in found.note
    assert [(one.image_id, one.kind) for one in found.suspects] == [(first, LabelError.DUPLICATE)]
    assert found.frequencies == {}


def test_a_captioner_to_which_everything_looks_wrong_stops_nothing():
    """Where no caption looks right, as to one that learned nothing, the audit ends with guesses, not with an error."""
    evidence = [CaptionEvidence(*(0.0 for _ in fields(CaptionEvidence))) for _ in range(5)]
    planted = dict.fromkeys(PLANTED, evidence * 20)
    found = ErrorProbability(evidence, planted)(evidence)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
