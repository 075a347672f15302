"""A proposed correction as HTML: the question, the picture, its captions with the one concerned marked, the reason."""

from collections.abc import Sequence
from html import escape

from captiongen.data.corrections import Kind, Proposal
from captiongen.data.images import decode_image
from captiongen.errors import ImageDecodeError
from captiongen.serving.attention import data_uri
from captiongen.serving.review import ShownImage

DONE = '<p class="cr-done">Nothing is left to decide. <code>dvc repro</code> trains on what was accepted.</p>'
_SIDE_PX, _SLICE_SIDE_PX = 720, 240
_QUESTIONS = {
    Kind.DROP_CAPTION: "Drop this caption?",
    Kind.MERGE_CAPTIONS: "Keep only one of these equal captions?",
    Kind.RELABEL_CAPTION: "Replace this caption?",
    Kind.ADD_IMAGE: "Train on this picture too?",
}


def proposal_view(proposal: Proposal, images: Sequence[ShownImage], *, num_left: int) -> str:
    """Returns the view of a proposal.

    Args:
        proposal: what is to be decided.
        images: the image concerned, or the first ones of a slice.
        num_left: undecided proposals, this one included.
    """
    facts = {"proposed by": proposal.source, "how sure": f"{proposal.score:.0%}", "id": proposal.id}
    if len(proposal.image_ids) == 1:
        facts["image"] = proposal.image_ids[0]
    listed = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    shown = _slice(proposal, images) if proposal.kind is Kind.WEIGHT_IMAGES else _single(proposal, images)
    return (
        f'<article class="cr-proposal" aria-labelledby="cr-question"><p class="cr-left">{num_left:,} to decide</p>'
        f'<h2 id="cr-question">{_question(proposal)}</h2><p class="cr-reason">{escape(proposal.reason)}</p>'
        f"{shown}<dl>{listed}</dl></article>"
    )


def _question(proposal: Proposal) -> str:
    if proposal.weight is None:
        return _QUESTIONS[proposal.kind]
    num_images = len(proposal.image_ids)
    images = "this image" if num_images == 1 else f"these {num_images:,} images"
    return f"Show {images} {proposal.weight:g} times in each epoch?"


def _single(proposal: Proposal, images: Sequence[ShownImage]) -> str:
    [image] = images
    lines = [_caption(proposal, caption) for caption in image.captions]
    if proposal.caption is not None and proposal.caption not in image.captions:
        lines.append(f"<li>{_marked(proposal)} <small>(no longer a caption of this image)</small></li>")
    if proposal.kind is Kind.ADD_IMAGE:
        lines.append(f"<li><ins>{escape(proposal.instead or '')}</ins></li>")
    return f'<div class="cr-single">{_picture(image, _SIDE_PX)}<ul>{"".join(lines)}</ul></div>'


def _caption(proposal: Proposal, caption: str) -> str:
    return f"<li>{_marked(proposal) if caption == proposal.caption else escape(caption)}</li>"


def _marked(proposal: Proposal) -> str:
    """The caption concerned; an empty one is named, else there would be nothing to see."""
    text = escape(proposal.caption or "") or "<em>(empty)</em>"
    if proposal.kind is Kind.RELABEL_CAPTION:
        return f"<del>{text}</del> <ins>{escape(proposal.instead or '')}</ins>"
    return f"<mark>{text}</mark>"


def _slice(proposal: Proposal, images: Sequence[ShownImage]) -> str:
    figures = "".join(
        f"<figure>{_picture(image, _SLICE_SIDE_PX)}<figcaption>{escape(image.captions[0] if image.captions else '')}"
        "</figcaption></figure>"
        for image in images
    )
    more = len(proposal.image_ids) - len(images)
    return f'<div class="cr-slice">{figures}</div>' + (f"<p>and {more:,} more</p>" if more > 0 else "")


def _picture(image: ShownImage, side_px: int) -> str:
    name = escape(image.image_id)
    if image.file is None:
        return f'<p class="cr-missing">The picture {name} is not here.</p>'
    try:
        picture = decode_image(image.file)
    except ImageDecodeError as error:
        return f'<p class="cr-missing">The picture {name} cannot be shown: {escape(str(error))}</p>'
    picture.thumbnail((side_px, side_px))
    return f'<img alt="{name}" src="{data_uri(picture, format="JPEG")}">'
