"""Proposals for tests."""

from captiongen.data.corrections import Kind, Proposal


def drop(image_id: str, caption: str, *, score: float = 0.9) -> Proposal:
    """Proposes to drop a caption."""
    return Proposal(Kind.DROP_CAPTION, (image_id,), "audit", "Does not fit the picture.", score, caption=caption)


def relabel(image_id: str, caption: str, instead: str) -> Proposal:
    """Proposes another caption."""
    return Proposal(
        Kind.RELABEL_CAPTION, (image_id,), "audit", "A wrong colour.", 0.8, caption=caption, instead=instead
    )


def weigh(*image_ids: str, weight: float) -> Proposal:
    """Proposes to weight the images of a slice."""
    return Proposal(Kind.WEIGHT_IMAGES, image_ids, "analysis", "Hard ones.", 0.7, weight=weight)
