"""What a run has found, one row for each class."""

from __future__ import annotations

from collections.abc import Sequence

from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QColor, QIcon, QPixmap
from qgis.PyQt.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from rs_textseg_plugin.contract.events import ClassSummary
from rs_textseg_plugin.gui.parts.words import area_in_words
from rs_textseg_plugin.host.translate import tr

_SWATCH_PX = 12
_NUMBER = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class ResultsTable(QTableWidget):
    """Class with its colour, count, area on the ground, and mean score weighted by area."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 4, parent)
        self.setObjectName("results")
        self.setHorizontalHeaderLabels([tr("Class"), tr("Count"), tr("Area"), tr("Score")])
        self.horizontalHeaderItem(3).setToolTip(tr("Mean score of the polygons, weighted by their area"))
        self.horizontalHeaderItem(0).setTextAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setTabKeyNavigation(False)
        self.verticalHeader().setVisible(False)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)

    def show_classes(self, classes: Sequence[ClassSummary]) -> None:
        """Show one row for each class, and be as tall as the rows need."""
        self.setRowCount(len(classes))
        for row, summary in enumerate(classes):
            name = QTableWidgetItem(_swatch(summary.colour), summary.name)
            name.setToolTip(summary.name)  # it may be cut off
            self.setItem(row, 0, name)
            for column, text in enumerate(_numbers(summary), start=1):
                item = QTableWidgetItem(text)
                item.setTextAlignment(_NUMBER)
                self.setItem(row, column, item)
        rows_px = self.verticalHeader().length() + self.horizontalHeader().sizeHint().height()
        self.setFixedHeight(min(rows_px, 240) + 2 * self.frameWidth())


def _numbers(summary: ClassSummary) -> tuple[str, str, str]:
    if not summary.count:
        return "0", "", ""
    return str(summary.count), area_in_words(summary.area_m2), f"{summary.mean_score:.2f}"


def _swatch(colour: str) -> QIcon:
    pixmap = QPixmap(_SWATCH_PX, _SWATCH_PX)
    pixmap.fill(QColor(colour))
    return QIcon(pixmap)
