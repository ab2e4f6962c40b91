"""What the user is told above the map, and where the rest is."""

from __future__ import annotations

from qgis.core import Qgis
from qgis.gui import QgisInterface
from qgis.PyQt.QtWidgets import QDockWidget, QPushButton, QTabWidget

from rs_textseg_plugin.contract.events import Failed
from rs_textseg_plugin.host.log import LOG_TAG, log
from rs_textseg_plugin.host.translate import tr

_LOG_PANEL = "MessageLog"  # object name in QGIS; its API opens the panel, but not at a tab
_DURATIONS_S = {Qgis.MessageLevel.Success: 10, Qgis.MessageLevel.Info: 10}  # others stay until they are closed


class Messages:
    """Items of the message bar; details go to the log panel, one click away."""

    def __init__(self, iface: QgisInterface) -> None:
        self._iface = iface

    def success(self, text: str) -> None:
        """Tell that something worked; the message goes away by itself."""
        self._push(text, Qgis.MessageLevel.Success)

    def note(self, text: str) -> None:
        """Write to the log what the result will say too."""
        log(text, Qgis.MessageLevel.Warning)

    def warning(self, text: str) -> None:
        """Tell what the user should know or mend; the text is in the log too."""
        log(text, Qgis.MessageLevel.Warning)
        self._push(text, Qgis.MessageLevel.Warning)

    def failure(self, failed: Failed) -> None:
        """Tell that a run failed; message and details are in the log. A run that the user stopped is no failure."""
        if failed.kind == "Cancelled":
            self._push(failed.message, Qgis.MessageLevel.Info)
            return
        log("\n".join(filter(None, (failed.message, failed.details))), Qgis.MessageLevel.Critical)
        self._push(failed.message, Qgis.MessageLevel.Critical)

    def open_log(self) -> None:
        """Open the log panel at the plugin's tab."""
        self._iface.openMessageLog()
        panel = self._iface.mainWindow().findChild(QDockWidget, _LOG_PANEL)
        for tabs in panel.findChildren(QTabWidget) if panel else ():
            titles = [tabs.tabText(i) for i in range(tabs.count())]
            if LOG_TAG in titles:
                tabs.setCurrentIndex(titles.index(LOG_TAG))

    def _push(self, text: str, level: Qgis.MessageLevel) -> None:
        bar = self._iface.messageBar()
        item = bar.createMessage(tr("RS TextSeg"), text.split("\n")[0])
        button = QPushButton(tr("Open Log"), item)
        button.clicked.connect(self.open_log)
        item.layout().addWidget(button)
        bar.pushWidget(item, level, _DURATIONS_S.get(level, 0))
