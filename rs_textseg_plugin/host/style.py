"""How result layers look."""

from __future__ import annotations

from collections.abc import Sequence

from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsFillSymbol,
    QgsRendererCategory,
    QgsVectorLayer,
)
from qgis.PyQt.QtGui import QColor

from rs_textseg_plugin.contract.query import ClassSpec

_FILL_OPACITY = 110  # of 255: the imagery stays visible
_OUTLINE_FACTOR = 160  # QColor.darker: 100 is the same, 200 half as bright


def style_by_class(layer: QgsVectorLayer, classes: Sequence[ClassSpec]) -> None:
    """Colour a layer by its attribute ``class``: a semi-transparent fill with a darker outline for each class."""
    categories = [QgsRendererCategory(spec.name, fill_symbol(spec.colour), spec.name) for spec in classes]
    layer.setRenderer(QgsCategorizedSymbolRenderer("class", categories))
    layer.triggerRepaint()


def fill_symbol(colour: str) -> QgsFillSymbol:
    """Return the symbol for a class of the colour ``#rrggbb``."""
    fill = QColor(colour)
    outline = fill.darker(_OUTLINE_FACTOR)
    return QgsFillSymbol.createSimple(
        {
            "color": f"{fill.red()},{fill.green()},{fill.blue()},{_FILL_OPACITY}",
            "outline_color": f"{outline.red()},{outline.green()},{outline.blue()},255",
            "outline_width": "0.3",
        }
    )
