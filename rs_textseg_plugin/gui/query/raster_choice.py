"""Check boxes for what is written beside the polygons."""

from __future__ import annotations

from collections.abc import Collection

from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from rs_textseg_plugin.host.output_paths import RASTER_SUFFIXES
from rs_textseg_plugin.host.translate import tr

_TITLES = {"label_raster": "Label raster", "score_raster": "Score raster", "class_scores": "Scores of every class"}
_TOOLTIPS = {
    "label_raster": "The class of every pixel: 0 for none, else its place in the class list",
    "score_raster": "How sure the class of every pixel is, from 0 to 1",
    "class_scores": "How well every class fits every pixel, from 0 to 1, one band a class",
}


class RasterChoice(QWidget):
    """One box for each raster.

    Signals:
        changed: a box was checked or unchecked.
    """

    changed = pyqtSignal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._boxes = {name: self._make_box(name) for name in RASTER_SUFFIXES}
        for box in self._boxes.values():
            layout.addWidget(box)

    def names(self) -> tuple[str, ...]:
        """Return the names in `Output` of the rasters that are checked."""
        return tuple(name for name, box in self._boxes.items() if box.isChecked())

    def show_names(self, names: Collection[str]) -> None:
        """Check the boxes of these rasters, and no others, without telling of it."""
        self.blockSignals(True)
        for name, box in self._boxes.items():
            box.setChecked(name in names)
        self.blockSignals(False)

    def _make_box(self, name: str) -> QCheckBox:
        box = QCheckBox(tr(_TITLES[name]), self)
        box.setObjectName(f"write_{name}")
        box.setToolTip(tr(_TOOLTIPS[name]))
        box.toggled.connect(lambda _: self.changed.emit())
        return box
