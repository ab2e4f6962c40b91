"""What Qt 5 and Qt 6 keep in different modules."""

from __future__ import annotations

try:
    from qgis.PyQt.QtWidgets import QAction
except ImportError:  # Qt 6, where a build of QGIS does not offer it under the old name
    from qgis.PyQt.QtGui import QAction

__all__ = ["QAction"]
