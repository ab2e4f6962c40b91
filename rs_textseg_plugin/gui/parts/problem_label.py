"""A sentence under a field that says what is wrong with it."""

from __future__ import annotations

from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QLabel, QSizePolicy, QWidget

_STYLE = "QLabel { color: #b3261e; }"  # readable on the light and the dark themes of QGIS


class ProblemLabel(QLabel):
    """Shows a problem, and takes no room while there is none. The text can be copied: it may hold a command."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.setStyleSheet(_STYLE)
        self.setVisible(False)

    def show_problem(self, problem: str) -> None:
        """Show a sentence; an empty one hides the label."""
        self.setText(problem)
        self.setVisible(bool(problem))
