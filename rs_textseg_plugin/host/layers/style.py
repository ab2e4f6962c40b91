"""How result layers look."""

from __future__ import annotations

from collections.abc import Sequence

from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsColorRampShader,
    QgsFillSymbol,
    QgsGradientColorRamp,
    QgsGradientStop,
    QgsMarkerSymbol,
    QgsPalettedRasterRenderer,
    QgsPalLayerSettings,
    QgsRasterDataProvider,
    QgsRasterLayer,
    QgsRasterShader,
    QgsRendererCategory,
    QgsSingleBandPseudoColorRenderer,
    QgsSingleSymbolRenderer,
    QgsTextBufferSettings,
    QgsTextFormat,
    QgsVectorLayer,
    QgsVectorLayerSimpleLabeling,
)
from qgis.PyQt.QtGui import QColor

from rs_textseg_plugin.contract.query import ClassSpec

_FILL_OPACITY = 110  # of 255: the imagery stays visible
_BOX_COLOUR = "255,140,0"
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


def style_boxes(layer: QgsVectorLayer) -> None:
    """Show boxes as outlines with the model's words beside them."""
    symbol = QgsFillSymbol.createSimple({"style": "no", "outline_color": _BOX_COLOUR, "outline_width": "0.6"})
    layer.setRenderer(QgsSingleSymbolRenderer(symbol))
    settings = QgsPalLayerSettings()
    settings.fieldName = "words"
    settings.autoWrapLength = 24
    settings.setFormat(_readable_on_imagery())
    layer.setLabeling(QgsVectorLayerSimpleLabeling(settings))
    layer.setLabelsEnabled(True)


def _readable_on_imagery() -> QgsTextFormat:
    halo = QgsTextBufferSettings()
    halo.setEnabled(True)
    halo.setSize(1.0)
    text = QgsTextFormat()
    text.setSize(9.0)
    text.setBuffer(halo)
    return text


def style_points(layer: QgsVectorLayer) -> None:
    """Show points inside objects in green and points beside them in red, with shapes of their own."""
    markers = {"inside": ("0,158,115", "circle"), "outside": ("213,0,0", "cross_fill")}
    categories = [
        QgsRendererCategory(kind, QgsMarkerSymbol.createSimple({"color": colour, "name": shape, "size": "3"}), kind)
        for kind, (colour, shape) in markers.items()
    ]
    layer.setRenderer(QgsCategorizedSymbolRenderer("kind", categories))


def style_raster(layer: QgsRasterLayer, kind: str, classes: Sequence[ClassSpec]) -> None:
    """Show a label raster in the colours of the classes, and a raster of scores from see-through to red.

    Args:
        layer: of a result.
        kind: its name in `Output`.
        classes: that the result may contain; their 1-based position is the value in a label raster.
    """
    provider = layer.dataProvider()
    if kind == "label_raster":
        entries = [
            QgsPalettedRasterRenderer.Class(value, QColor(spec.colour), spec.name)
            for value, spec in enumerate(classes, start=1)
        ]
        layer.setRenderer(QgsPalettedRasterRenderer(provider, 1, entries))
    else:
        layer.setRenderer(_heat_renderer(provider))


def _heat_renderer(provider: QgsRasterDataProvider) -> QgsSingleBandPseudoColorRenderer:
    stops = [QgsGradientStop(0.5, QColor(253, 141, 60, 160))]
    ramp = QgsGradientColorRamp(QColor(255, 255, 178, 0), QColor(189, 0, 38, 220), False, stops)
    shader_function = QgsColorRampShader(0.0, 1.0, ramp)
    shader_function.classifyColorRamp(5)
    shader = QgsRasterShader()
    shader.setRasterShaderFunction(shader_function)
    renderer = QgsSingleBandPseudoColorRenderer(provider, 1, shader)
    renderer.setClassificationMin(0.0)
    renderer.setClassificationMax(1.0)
    return renderer
