"""Draws shapes on a transparent tile, in units of the figure's height: x to the right from 0, y down from 0 to 1."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFilter

from captiongen.data.scenes.world import COLOURS, Rgb

Point = tuple[float, float]

INK: Rgb = (32, 30, 36)
SKIN: Rgb = (228, 178, 142)
MARGIN = 0.06  # of the height, on all sides: room for outlines and waving arms


def shade(colour: Rgb, factor: float) -> Rgb:
    """Returns `colour` darker (factor < 1) or lighter (factor > 1)."""
    red, green, blue = (min(max(int(channel * factor), 0), 255) for channel in colour)
    return red, green, blue


def pixel(value: float) -> int:
    """Rounds a coordinate; the tiny offset keeps halves on one side whatever the last bit of a platform's sine is."""
    return int(value + 1000.5 + 1e-6) - 1000


class Pen:
    """Draws one figure of `height_px`, facing right, in a given colour."""

    def __init__(self, height_px: int, aspect: float, colour: str) -> None:
        self.colour: Rgb = COLOURS[colour]
        self.dark = shade(self.colour, 0.66) if sum(self.colour) > 150 else (78, 74, 84)
        self._scale = height_px
        self.margin_px = max(pixel(MARGIN * height_px), 2)
        size = (pixel(aspect * height_px) + 2 * self.margin_px, height_px + 2 * self.margin_px)
        self._tile = Image.new("RGBA", size, (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self._tile)

    def polygon(self, points: Sequence[Point], fill: Rgb) -> None:
        """Fills a polygon."""
        self._draw.polygon([self._at(point) for point in points], fill=fill)

    def ellipse(self, centre: Point, radius_x: float, radius_y: float, fill: Rgb) -> None:
        """Fills an ellipse."""
        x, y = centre
        self._draw.ellipse(
            (*self._at((x - radius_x, y - radius_y)), *self._at((x + radius_x, y + radius_y))), fill=fill
        )

    def box(self, left: float, top: float, right: float, bottom: float, fill: Rgb, radius: float = 0.0) -> None:
        """Fills a rectangle, its corners rounded by `radius`."""
        corners = (*self._at((left, top)), *self._at((right, bottom)))
        self._draw.rounded_rectangle(corners, radius=pixel(radius * self._scale), fill=fill)

    def limb(self, points: Sequence[Point], width: float, fill: Rgb) -> None:
        """Draws a thick line with round ends and joints."""
        self._draw.line([self._at(point) for point in points], fill=fill, width=max(pixel(width * self._scale), 1))
        for point in points:
            self.ellipse(point, width / 2, width / 2, fill)

    def arc(self, centre: Point, radius: float, start: int, end: int, width: float, fill: Rgb) -> None:
        """Draws part of a circle, degrees clockwise from three o'clock."""
        x, y = centre
        corners = (*self._at((x - radius, y - radius)), *self._at((x + radius, y + radius)))
        self._draw.arc(corners, start, end, fill=fill, width=max(pixel(width * self._scale), 1))

    def finish(self) -> Image.Image:
        """Returns the tile with a thin dark outline, so that white stands out on snow and black at night."""
        alpha = self._tile.getchannel("A")
        grown = alpha.filter(ImageFilter.MaxFilter(3))
        outline = Image.new("RGBA", self._tile.size, (*INK, 0))
        outline.putalpha(grown.point([value * 3 // 4 for value in range(256)]))
        outline.paste(self._tile, (0, 0), alpha)
        return outline

    def _at(self, point: Point) -> tuple[int, int]:
        return (
            self.margin_px + pixel(point[0] * self._scale),
            self.margin_px + pixel(point[1] * self._scale),
        )
