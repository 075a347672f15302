"""A picture with its caption drawn under it, as people look at captions."""

from io import BytesIO

from PIL import Image, ImageDraw, ImageFont

_MIN_WIDTH_PX = 320
_FONT_PX, _LINE_PX, _MARGIN_PX = 16, 22, 8


def draw_caption(image: bytes, caption: str) -> Image.Image:
    """Returns the picture, at least 320 px wide, on white with the caption under it, broken into lines.

    Args:
        image: an encoded picture that Pillow reads.
        caption: any text; an empty one leaves an empty line.
    """
    picture = Image.open(BytesIO(image)).convert("RGB")
    if picture.width < _MIN_WIDTH_PX:
        height = round(picture.height * _MIN_WIDTH_PX / picture.width)
        picture = picture.resize((_MIN_WIDTH_PX, height), Image.Resampling.BICUBIC)
    font = ImageFont.load_default(_FONT_PX)
    lines = _wrap(caption, font, picture.width - 2 * _MARGIN_PX)
    card = Image.new("RGB", (picture.width, picture.height + len(lines) * _LINE_PX + 2 * _MARGIN_PX), "white")
    card.paste(picture)
    draw = ImageDraw.Draw(card)
    for number, line in enumerate(lines):
        draw.text((_MARGIN_PX, picture.height + _MARGIN_PX + number * _LINE_PX), line, fill="black", font=font)
    return card


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width_px: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width_px:
            lines[-1] = longer
        else:
            lines.append(word)
    return [line for line in lines if line] or [""]
