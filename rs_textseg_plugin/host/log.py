"""The plugin's tab in the log panel of QGIS."""

from __future__ import annotations

from qgis.core import Qgis, QgsMessageLog

LOG_TAG = "RS TextSeg"


def log(text: str, level: Qgis.MessageLevel = Qgis.MessageLevel.Info) -> None:
    """Write to the plugin's tab; the panel does not pop up. Any thread may call this."""
    QgsMessageLog.logMessage(text, LOG_TAG, level, False)
