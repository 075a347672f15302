"""Describes a scene as five people would: each notices other things and puts them in other words."""

import random

from captiongen.data.scenes.phrases import atmosphere, noun_phrase, participle_clause, predicate, setting_phrase
from captiongen.data.scenes.scene import Relation, RelationName, Scene

NUM_CAPTIONS = 5
_MAX_WORDS = 24  # nobody says more

_RELATIONS: dict[RelationName, tuple[str, ...]] = {
    "left of": ("to the left of", "on the left of", "beside", "next to"),
    "right of": ("to the right of", "on the right of", "beside", "near"),
    "in front of": ("in front of", "in front of", "before"),
    "behind": ("behind", "behind", "in back of"),
    "above": ("above", "over", "high above"),
    "on": ("on", "on top of", "on top of"),
}
#: relation -> verbs that say it: finite singular, finite plural, participle.
_RELATION_VERBS: dict[RelationName, tuple[tuple[str, str, str], ...]] = {
    "chasing": (("chases", "chase", "chasing"), ("is chasing", "are chasing", "chasing"),
                ("runs after", "run after", "running after")),
    "flying": (("flies", "fly", "flying"), ("is flying", "are flying", "flying")),
}  # fmt: skip
_INVERSES: dict[RelationName, str] = {
    "left of": "to its right", "right of": "to its left", "in front of": "behind it", "behind": "in front of it",
}  # fmt: skip


def describe_scene(rng: random.Random, scene: Scene) -> tuple[str, ...]:
    """Writes `NUM_CAPTIONS` captions, all different, in random order."""
    writer = _Writer(rng, scene)
    captions: list[str] = []
    for annotator in (writer.thorough, writer.brief, writer.relational, writer.from_the_place, writer.moody):
        caption = _sentence(annotator())
        while caption in captions or len(caption.split()) > _MAX_WORDS:
            caption = _sentence(annotator())
        captions.append(caption)
    rng.shuffle(captions)
    return tuple(captions)


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:] + "."


class _Writer:
    """Five annotators, one method each, over one scene."""

    def __init__(self, rng: random.Random, scene: Scene) -> None:
        self._rng = rng
        self._scene = scene
        self._relation = scene.relation

    def thorough(self) -> str:
        """Names colour, size, action, place and, where there is one, the relation."""
        subject = self._subject(colour=True, size=True)
        relation = self._relation
        if relation is None:
            return f"{subject} {self._does()}"
        other = self._other(relation, colour=True, size=True)
        if relation.name in ("left of", "right of", "in front of", "behind"):
            return f"{subject} {self._does()} {self._rng.choice(_RELATIONS[relation.name])} {other}"
        return f"{subject} {self._relates(relation)} {other} {self._where()}"

    def brief(self) -> str:
        """Names who and what, without colours."""
        subject = self._subject(colour=False, size=self._rng.random() < 0.3)
        relation = self._relation
        if relation is not None and relation.name in ("flying", "on"):
            other = self._other(relation, colour=False, size=False)
            return f"{subject} {self._relates(relation, is_finite=False)} {other}"
        return f"{subject} {self._doing()}"

    def relational(self) -> str:
        """Cares for how things stand to each other; of a lone group it names the colour and the action."""
        subject = self._subject(colour=True, size=False)
        if self._relation is not None:
            return f"{subject} {self._relates(self._relation)} {self._other(self._relation, colour=True, size=False)}"
        if self._rng.random() < 0.5:
            return f"{subject} {self._does()}"
        return f"{subject} {self._does(place=False)} {self._mood()}"

    def from_the_place(self) -> str:
        """Starts from the place, or from the other thing."""
        subject = self._subject(colour=self._rng.random() < 0.7, size=True)
        relation = self._relation
        if relation is None:
            if self._rng.random() < 0.5:
                is_are = "are" if self._scene.subject.count > 1 else "is"
                return f"there {is_are} {subject} {self._doing(place=False)} {self._where()}"
            return f"{self._where()}, {subject} {self._does(place=False)}"
        other = self._other(relation, colour=self._rng.random() < 0.7, size=True)
        if relation.name in _INVERSES and self._scene.subject.count == 1 and self._rng.random() < 0.6:
            return f"{subject} {self._where()} with {other} {_INVERSES[relation.name]}"
        if relation.name in _RELATION_VERBS:
            return f"{self._where()}, {subject} {self._relates(relation)} {other}"
        return f"{other} and {subject} {self._where()}"

    def moody(self) -> str:
        """Adds light or background, and says colours half of the time."""
        subject = self._subject(colour=self._rng.random() < 0.5, size=False)
        relation = self._relation
        if relation is not None and relation.name == "flying":
            kite = self._other(relation, colour=self._rng.random() < 0.5, size=False)
            return f"{subject} {self._relates(relation)} {kite} {self._mood()}"
        # What stands on a box stands on no beach.
        is_placed = (relation is None or relation.name != "on") and self._rng.random() < 0.5
        return f"{subject} {self._does(place=is_placed)} {self._mood()}"

    def _subject(self, *, colour: bool, size: bool) -> str:
        return noun_phrase(self._rng, self._scene.subject, colour=colour, size=size)

    def _other(self, relation: Relation, *, colour: bool, size: bool) -> str:
        return noun_phrase(self._rng, relation.other, colour=colour, size=size)

    def _does(self, *, place: bool = True) -> str:
        return predicate(self._rng, self._scene.subject, self._scene.ground if place else None)

    def _doing(self, *, place: bool = True) -> str:
        return participle_clause(self._rng, self._scene.subject, self._scene.ground if place else None)

    def _relates(self, relation: Relation, *, is_finite: bool = True) -> str:
        if relation.name in _RELATION_VERBS:
            singular, plural, participle = self._rng.choice(_RELATION_VERBS[relation.name])
            finite = plural if self._scene.subject.count > 1 else singular
            return finite if is_finite else participle
        does = self._does(place=False) if is_finite else self._doing(place=False)
        return f"{does} {self._rng.choice(_RELATIONS[relation.name])}"

    def _where(self) -> str:
        return setting_phrase(self._rng, self._scene.subject, self._scene.ground)

    def _mood(self) -> str:
        return atmosphere(self._rng, self._scene.sky, self._scene.backdrop)
