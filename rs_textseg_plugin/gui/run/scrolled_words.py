"""Sentences that are as tall as they need to be, up to a limit from which on they scroll."""

from __future__ import annotations

from collections.abc import Sequence

from qgis.gui import QgsScrollArea
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QResizeEvent
from qgis.PyQt.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

_MOST_PX = 170


class ScrolledWords(QgsScrollArea):
    """Holds labels. Whoever changes them calls `fit`."""

    def __init__(self, labels: Sequence[QLabel], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        contents = QWidget()
        layout = QVBoxLayout(contents)
        layout.setContentsMargins(0, 0, 0, 0)
        for label in labels:
            layout.addWidget(label)
        self.setWidget(contents)

    def fit(self) -> None:
        """Be as tall as the labels need at this width."""
        needed_px = self.widget().layout().heightForWidth(self.viewport().width())
        self.setFixedHeight(max(0, min(needed_px, _MOST_PX)))  # -1 where all labels are hidden

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 (Qt's name)
        """Another width needs another height."""
        super().resizeEvent(event)
        self.fit()
