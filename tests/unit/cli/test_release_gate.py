"""When a challenger may become champion."""

import pytest
from pydantic import ValidationError

from captiongen.cli.release_gate import Verdict, judge_against, judge_first, name_data_sets
from captiongen.errors import DataError
from captiongen.params import ReleaseParams
from captiongen.types import CaptionedImage, Hypothesis, Lineage, MetricValue

PARAMS = ReleaseParams(num_resamples=200)
THINGS = ("dog", "cat", "child", "boat", "horse", "bird", "truck", "tree", "kite", "ball")


def captioned(captions: dict[str, str]) -> list[CaptionedImage]:
    """One image per thing, whose references all say what is in it."""
    return [
        CaptionedImage(
            thing,
            (Hypothesis(captions[thing], (), -1.0, -1.0),),
            (f"a {thing} runs over the grass", f"one {thing} on green grass", f"a {thing} outside in the sun"),
        )
        for thing in THINGS
    ]


RIGHT = captioned({thing: f"a {thing} runs over the grass" for thing in THINGS})
WRONG = captioned(dict.fromkeys(THINGS, "a man in a hat"))
ALMOST = captioned({thing: f"a {thing} runs over the grass" for thing in THINGS} | {"dog": "a man in a hat"})


def value(cider: float, floor: float) -> MetricValue:
    return MetricValue(cider, cider - 4, cider + 4, None, floor)


def against(
    version: str,
    challenger: list[CaptionedImage],
    champion: list[CaptionedImage],
    params: ReleaseParams,
    cider: MetricValue | None = None,
) -> Verdict:
    """The comparison of a challenger that is well over the floor."""
    return judge_against(version, challenger, champion, params, cider=cider or value(60.0, floor=10.0))


def trained_on(dataset: str, data_hash: str) -> Lineage:
    return Lineage(dataset, data_hash, {}, "e" * 64)


@pytest.mark.parametrize("name", ["Flickr 8k", "a/b", "a:b", "", "-a", "a.", "x" * 64])
def test_a_name_that_no_bento_can_have_is_refused_before_anything_runs(name: str):
    """A model is never promoted under a name that its packaging would refuse."""
    with pytest.raises(ValidationError, match="at most 63 letters, digits"):
        ReleaseParams(model_name=name)


@pytest.mark.parametrize("name", ["captiongen", "Flickr8k", "my-photos_2.1", "x"])
def test_a_name_that_a_bento_can_have_is_taken(name: str):
    """Letters, digits and the three marks between them are a name."""
    assert ReleaseParams(model_name=name).model_name == name


@pytest.mark.parametrize(("cider", "is_passed"), [(14.9, False), (15.0, True), (60.0, True)])
def test_a_first_champion_must_beat_the_constant_caption(cider: float, is_passed: bool):
    """Without a champion the bar is the floor plus `min_cider_over_floor`, and reaching it is enough."""
    verdict = judge_first(value(cider, floor=10.0), 100, ReleaseParams(min_cider_over_floor=5.0))
    assert verdict.is_passed is is_passed
    assert verdict.against == ""
    assert verdict.difference == pytest.approx(cider - 10.0)


def test_a_clearly_better_challenger_passes():
    """The lower end of the paired interval lies above zero."""
    verdict = against("3", RIGHT, WRONG, PARAMS)
    assert verdict.is_passed
    assert verdict.against == "3"
    assert 0 < verdict.low <= verdict.difference <= verdict.high


def test_a_worse_challenger_is_refused():
    """The whole interval lies below zero."""
    verdict = against("3", WRONG, RIGHT, PARAMS)
    assert not verdict.is_passed
    assert verdict.high < 0


def test_an_equal_challenger_is_refused_unless_a_loss_is_allowed():
    """With max_cider_loss 0 equal is not enough; with a margin it is."""
    assert not against("3", RIGHT, RIGHT, PARAMS).is_passed
    assert against("3", RIGHT, RIGHT, PARAMS.model_copy(update={"max_cider_loss": 1.0})).is_passed


def test_a_loss_within_the_margin_passes_only_when_its_whole_interval_does():
    """The lower end decides, not the mean."""
    verdict = against("3", ALMOST, RIGHT, PARAMS.model_copy(update={"max_cider_loss": 60.0}))
    assert verdict.difference > -60.0
    assert verdict.low < -60.0
    assert not verdict.is_passed


def test_images_are_paired_by_id_whatever_their_order():
    """The verdict does not depend on the order of either list."""
    assert against("3", RIGHT, ALMOST[::-1], PARAMS) == against("3", RIGHT[::-1], ALMOST, PARAMS)


def test_the_same_models_always_get_the_same_verdict():
    """The bootstrap is seeded."""
    assert against("3", ALMOST, WRONG, PARAMS) == against("3", ALMOST, WRONG, PARAMS)


def test_captions_of_other_images_are_not_compared():
    """A missing image or other references stop the comparison."""
    with pytest.raises(DataError, match="same images"):
        against("3", RIGHT, RIGHT[:-1], PARAMS)
    other = [CaptionedImage(row.image_id, row.hypotheses, row.references[:1]) for row in RIGHT]
    with pytest.raises(DataError, match="same references"):
        against("3", RIGHT, other, PARAMS)


@pytest.mark.parametrize(("cider", "is_passed"), [(6.4, False), (33.8, False), (34.0, True)])
def test_every_version_must_beat_the_constant_caption(cider: float, is_passed: bool):
    """A loss that is allowed against the champion does not let in what a constant caption beats."""
    params = PARAMS.model_copy(update={"max_cider_loss": 5.0})
    verdict = against("1", RIGHT, RIGHT, params, value(cider, floor=28.9))
    assert verdict.is_passed is is_passed
    assert verdict.missed() == (() if is_passed else ("release.min_cider_over_floor",))
    assert "against champion version 1" in verdict.describe()
    outcome = "met" if is_passed else "missed"
    assert "against the best constant caption on 10 images; every version needs +5.0" in verdict.describe()
    assert f"(release.min_cider_over_floor): {outcome}." in verdict.describe()


def test_a_verdict_says_its_figures():
    """The sentence has difference, interval, champion, number of images, the bar and the setting it comes from."""
    text = Verdict(False, "7", 1000, -1.25, -3.0, 0.5, -1.0).describe()
    for figure in ("-1.2", "-3.0", "+0.5", "version 7", "1000", "-1.0 (release.max_cider_loss)", "missed"):
        assert figure in text


def test_zero_has_no_sign():
    """A bar of minus zero is written as a person writes it."""
    text = Verdict(False, "7", 1000, -0.01, -0.04, 0.04, -0.0).describe()
    assert "CIDEr is 0.0 [0.0, 0.0]" in text
    assert "must lie above 0.0 (" in text


def test_a_champion_of_other_data_is_said_to_be_one():
    """Where the two were trained on different data the verdict names both data sets, else it is silent."""
    verdict = against("3", RIGHT, WRONG, PARAMS)
    other = name_data_sets(verdict, trained_on("photos", "a" * 64), trained_on("scenes", "b" * 64))
    assert "trained on another data set (scenes bbbbbbbb, this one on photos aaaaaaaa)" in other.describe()
    assert other.is_passed == verdict.is_passed
    assert name_data_sets(verdict, trained_on("x", "a" * 64), trained_on("x", "a" * 64)) == verdict


def test_a_verdict_that_was_kept_before_the_floor_was_asked_of_all_is_still_read():
    """The tags of an older release have fewer figures."""
    assert Verdict(True, "7", 1000, 1.0, 0.5, 1.5, 0.0).missed() == ()


ANIMALS = ("dog", "cat", "horse", "bird")


def many(things: tuple[str, ...], *, broken: tuple[str, ...] = (), mended: bool = False) -> list[CaptionedImage]:
    """Twenty images of each thing; captions of broken ones are wrong, mended ones are what a person said."""
    rows = []
    for thing in things:
        for number in range(20):
            references = (f"a {thing} number {number} on green grass", f"one {thing} on the grass")
            said = "a man in a hat" if thing in broken else references[0] if mended else f"a {thing} on green grass"
            rows.append(CaptionedImage(f"{thing}-{number}", (Hypothesis(said, (), -1.0, -1.0),), references))
    return rows


def test_a_challenger_that_breaks_a_slice_is_refused_though_its_mean_rises():
    """What it gains on boats and kites does not pay for the dogs; the verdict names the slice and the setting."""
    things = (*ANIMALS, "boat", "kite", "ball", "truck")
    champion, challenger = many(things), many(things, broken=("dog",), mended=True)
    verdict = against("3", challenger, champion, PARAMS)
    assert verdict.low > 0
    assert not verdict.is_passed
    assert verdict.broken_slices["topic: dogs"] < 0
    assert "topic: animals" not in verdict.broken_slices
    assert verdict.missed() == ("release.broken_slices",)
    assert "breaks slices of images, beyond chance: topic: dogs (-" in verdict.describe()
    reported = against("3", challenger, champion, PARAMS.model_copy(update={"broken_slices": "report"}))
    assert reported.is_passed
    assert reported.broken_slices == verdict.broken_slices


def test_a_loss_that_is_allowed_breaks_no_slice():
    """What `max_cider_loss` lets the whole split lose, a slice may lose as well."""
    champion, challenger = many(ANIMALS, mended=True), many(ANIMALS)
    assert against("3", challenger, champion, PARAMS).broken_slices
    allowed = PARAMS.model_copy(update={"max_cider_loss": 900.0})
    assert against("3", challenger, champion, allowed).broken_slices == {}


def test_equals_break_no_slice():
    """The same captions are worse nowhere."""
    rows = many(ANIMALS)
    assert against("3", rows, rows, PARAMS).broken_slices == {}
