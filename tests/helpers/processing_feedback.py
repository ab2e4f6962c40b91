"""What an algorithm says while it runs, kept for tests."""

from __future__ import annotations

from qgis.core import QgsProcessingFeedback


class Feedback(QgsProcessingFeedback):
    """Keeps what was said."""

    def __init__(self):
        super().__init__(False)
        self.said = {"info": [], "warning": [], "debug": [], "error": []}

    def pushInfo(self, info):
        self.said["info"].append(info)

    def pushWarning(self, warning):
        self.said["warning"].append(warning)

    def pushDebugInfo(self, info):
        self.said["debug"].append(info)

    def reportError(self, error, fatalError=False):  # noqa: N803
        self.said["error"].append(error)
