"""What a training is known by, and whether one is there to go on with."""

from pathlib import Path

import pytest

from captiongen.data.shards import open_processed
from captiongen.params import DecodeParams, DecoderParams, EncoderParams, MatcherParams, RerankerParams, TrainParams
from captiongen.training.identity import TrainingIdentity, identify, name_of_unfinished, snapshots_folder
from tests.tiny import tiny_processed, tiny_tokenizer

PHASES = [{"kind": "finetuned", "num_epochs": 1}, {"kind": "finetuned", "num_epochs": 2}]
RERANKER = RerankerParams(matcher=MatcherParams(width=8))


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_processed(tmp_path_factory.mktemp("processed"))


def params(**changes: object) -> TrainParams:
    given = {"encoder": EncoderParams(name="test_convnext"), "decoder": DecoderParams(width=12), "phases": PHASES}
    return TrainParams.model_validate({**given, **changes})


def identity(data_folder: Path, **changes: object) -> TrainingIdentity:
    return identify(params(**changes), open_processed(data_folder), tiny_tokenizer())


def test_another_later_phase_leaves_the_earlier_one_its_name(data_folder: Path):
    """The training and the changed phase have other names, the phase before keeps its own; the seed changes all."""
    one, other = (
        identity(data_folder),
        identity(data_folder, phases=[PHASES[0], {"kind": "finetuned", "num_epochs": 3}]),
    )
    assert one.training != other.training
    assert [a == b for a, b in zip(one.phases, other.phases, strict=True)] == [True, False]
    assert not {one.training, *one.phases} & {(of := identity(data_folder, seed=1)).training, *of.phases}


def test_a_reranker_makes_another_training_of_the_same_phases(data_folder: Path):
    """It is made after the phases, so their snapshots serve with and without it."""
    reranked = identity(data_folder, decode=DecodeParams(choice="reranked"), reranker=RERANKER)
    one = identity(data_folder)
    assert reranked.phases == one.phases
    assert reranked.training != one.training


def test_a_training_is_unfinished_where_it_left_a_snapshot(data_folder: Path, tmp_path: Path):
    """Its own snapshot, not that of another training and not what a killed save left."""
    of_this, of_another = identity(data_folder), identity(data_folder, seed=1)
    for name in (f"{of_another.phases[0]}/epoch-0001", f"{of_this.phases[0]}/.epoch-0001.x1.part"):
        (snapshots_folder(tmp_path) / name).mkdir(parents=True)
    assert name_of_unfinished(params(), data_folder=data_folder, state_folder=tmp_path) is None
    (snapshots_folder(tmp_path) / of_this.phases[0] / "epoch-0001").mkdir()
    assert name_of_unfinished(params(), data_folder=data_folder, state_folder=tmp_path) == of_this.training
