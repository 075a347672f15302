"""What may truly be said of a drawn scene, in many words: references that leave nothing out."""

import random

from captiongen.data.scenes.dataset import ObjectTruth, SceneTruth
from captiongen.data.scenes.language import describe_scene
from captiongen.data.scenes.scene import Group, Placement, Relation, RelationName, Scene
from captiongen.data.scenes.world import Size

_NOWHERE = Placement(x=0.5, base=0.5, height=0.5)  # no phrase depends on where in the frame a thing stands


def true_statements(truth: SceneTruth, *, num_rounds: int, seed: int = 0) -> tuple[str, ...]:
    """Returns distinct captions that are all true of the scene, five annotators asked `num_rounds` times.

    The data set's own five captions leave out what their writers did not care for; some forty of these do not.
    """
    scene = _scene(truth)
    rng = random.Random(f"{truth.image_id} {seed}")  # noqa: S311 - drawings, not secrets
    return tuple(dict.fromkeys(caption for _ in range(num_rounds) for caption in describe_scene(rng, scene)))


def _scene(truth: SceneTruth) -> Scene:
    others = {relation.other for relation in truth.relations}
    subject = _group([one for i, one in enumerate(truth.objects) if i not in others])
    relation = None
    if others:
        name: RelationName = truth.relations[0].name  # type: ignore[assignment]
        relation = Relation(name, _group([truth.objects[i] for i in sorted(others)]))
    return Scene(truth.ground, truth.sky, truth.backdrop, 0.4, subject, relation)


def _group(things: list[ObjectTruth]) -> Group:
    first = things[0]
    size: Size = first.size  # type: ignore[assignment]
    placements = (_NOWHERE,) * len(things)
    return Group(first.kind, first.colour, size, first.action, faces_left=False, placements=placements)
