"""A picture of the result: the scene, the polygons in their colours, and a legend."""

from __future__ import annotations

from pathlib import Path
from typing import Union

import numpy as np
import pyogrio
import rasterio.features
import shapely
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from rs_textseg_plugin.contract.events import ClassSummary
from rs_textseg_plugin.contract.grid import PixelGrid, Window
from rs_textseg_plugin.engine.raster.reader import TileImage
from rs_textseg_plugin.engine.results.vector_file import LAYER

LONG_SIDE_PX = 1400  # of the scene in the picture
_PANEL_PX = 380
_FILL_SHARE = 0.45  # of the class colour in the mixture with the scene
Font = Union[ImageFont.FreeTypeFont, ImageFont.ImageFont]
_INK, _PAPER = (34, 34, 34), (255, 255, 255)


def draw_map(
    path: Path,
    image: TileImage,
    vectors: Path,
    grid: PixelGrid,
    classes: tuple[ClassSummary, ...],
    title: str,
    footer: str,
) -> None:
    """Write a PNG.

    Args:
        path: the file.
        image: the scene, at the picture's resolution.
        vectors: GeoPackage with the result.
        grid: the grid that `image` was read on.
        classes: rows of the legend.
        title: its first line.
        footer: its last lines.

    Raises:
        OSError: it cannot be written, or not be read again.
    """
    numbers, labels = _burnt(vectors, image.window, grid, [row.name for row in classes])
    picture = _tinted(image.rgb, numbers, labels, [row.colour for row in classes])
    sheet = Image.new("RGB", (picture.width + _PANEL_PX, max(picture.height, 200 + 46 * len(classes))), _PAPER)
    sheet.paste(picture, (0, 0))
    _draw_legend(sheet, picture.width + 24, classes, title, footer)
    sheet.save(path)
    with Image.open(path) as saved:
        saved.load()


def _burnt(
    vectors: Path, window: Window, grid: PixelGrid, names: list[str]
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return polygon numbers and label values ``(h, w)``, 0 where there is no polygon."""
    size = (window.height, window.width)
    _, _, wkb, (classes,) = pyogrio.raw.read(vectors, layer=LAYER, columns=["class"])
    if len(wkb) == 0:
        return np.zeros(size, np.int32), np.zeros(size, np.uint8)
    t = grid.transform
    x, y = t.to_map(window.col, window.row)
    numbers = rasterio.features.rasterize(
        list(zip(shapely.from_wkb(wkb), range(1, len(wkb) + 1))),
        out_shape=size,
        transform=rasterio.Affine(t.a, t.b, x, t.d, t.e, y),
        dtype="int32",
    )
    values = np.array([0, *(names.index(name) + 1 for name in classes)], np.uint8)
    return numbers, values[numbers]


def _tinted(
    scene: NDArray[np.uint8], numbers: NDArray[np.int32], labels: NDArray[np.uint8], colours: list[str]
) -> Image.Image:
    palette = np.array([(0, 0, 0), *(tuple(bytes.fromhex(colour[1:])) for colour in colours)], np.float32)
    colour = palette[labels]
    mixed = np.where(labels[..., None] > 0, (1 - _FILL_SHARE) * scene + _FILL_SHARE * colour, scene)
    edge = np.zeros(numbers.shape, bool)
    edge[:, 1:] |= numbers[:, 1:] != numbers[:, :-1]
    edge[1:] |= numbers[1:] != numbers[:-1]
    mixed[edge & (labels > 0)] = 0.8 * colour[edge & (labels > 0)]
    return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))


def _draw_legend(sheet: Image.Image, left: int, classes: tuple[ClassSummary, ...], title: str, footer: str) -> None:
    draw = ImageDraw.Draw(sheet)
    large, normal, small = (ImageFont.load_default(size) for size in (22, 17, 13))
    y = 24
    for line in _wrapped(draw, title, large, _PANEL_PX - 48):
        draw.text((left, y), line, _INK, large)
        y += 28
    y += 14
    for row in classes:
        draw.rectangle((left, y + 2, left + 26, y + 22), fill=row.colour, outline=_INK)
        draw.text((left + 38, y), row.name, _INK, normal)
        polygons = "1 polygon" if row.count == 1 else f"{row.count} polygons"
        details = f"{polygons}, {row.area_m2:,.0f} sq m, score {row.mean_score:.2f}" if row.count else "not found"
        draw.text((left + 38, y + 21), details, (110, 110, 110), small)
        y += 46
    lines = _wrapped(draw, footer, small, _PANEL_PX - 48)
    y = max(y + 10, sheet.height - 20 - 18 * len(lines))
    for line in lines:
        draw.text((left, y), line, (110, 110, 110), small)
        y += 18


def _wrapped(draw: ImageDraw.ImageDraw, text: str, font: Font, width_px: int) -> list[str]:
    lines = [""]
    # Names without a space between them may be wrapped too.
    for word in text.replace(",", ", ").split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and draw.textlength(longer, font) > width_px:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
