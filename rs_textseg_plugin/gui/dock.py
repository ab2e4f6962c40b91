"""The plugin's panel."""

from __future__ import annotations

from collections.abc import Callable

from qgis.core import QgsMapLayer
from qgis.gui import QgsDockWidget, QgsScrollArea
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QKeySequence
from qgis.PyQt.QtWidgets import QFrame, QVBoxLayout, QWidget

from rs_textseg_plugin.gui.parts.qt import QAction
from rs_textseg_plugin.gui.query.query_form import QueryForm
from rs_textseg_plugin.gui.run.run_panel import RunPanel
from rs_textseg_plugin.gui.state.query_model import QueryModel
from rs_textseg_plugin.gui.state.query_state import Sending
from rs_textseg_plugin.gui.vlm.consent_question import user_consents
from rs_textseg_plugin.host.translate import tr


class RsTextSegDock(QgsDockWidget):
    """The form in a scroll area, and below it, always in sight, the run. Ctrl+Return runs, Esc cancels."""

    def __init__(self, model: QueryModel, parent: QWidget | None = None) -> None:
        super().__init__(tr("RS TextSeg"), parent)
        self.setObjectName("RsTextSegDock")
        self.form = QueryForm(model)
        self.panel = RunPanel(model)
        self.setWidget(self._contents())
        self.model = model
        model.consent_wanted.connect(self._ask_consent)
        self._add_shortcut("Ctrl+Return", model.submit)
        self._add_shortcut("Ctrl+Enter", model.submit)
        self._add_shortcut("Esc", model.cancel)

    def follow_active_layer(self, layer: QgsMapLayer | None) -> None:
        """Choose the layer that the user made active, where it is a raster and nothing runs."""
        if self.form.isEnabled():
            self.form.choose_layer(layer)

    def _ask_consent(self, sending: Sending) -> None:
        if user_consents(sending, self):
            self.model.consent()

    def _contents(self) -> QWidget:
        area = QgsScrollArea()
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(_at_the_top(self.form))
        contents = QWidget()
        layout = QVBoxLayout(contents)
        layout.addWidget(area, 1)
        layout.addWidget(self.panel)
        return contents

    def _add_shortcut(self, keys: str, slot: Callable[[], None]) -> None:
        action = QAction(self)
        action.setShortcut(QKeySequence(keys))
        action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        action.triggered.connect(lambda _: slot())
        self.addAction(action)


def _at_the_top(widget: QWidget) -> QWidget:
    holder = QWidget()
    layout = QVBoxLayout(holder)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(widget)
    layout.addStretch(1)
    return holder
