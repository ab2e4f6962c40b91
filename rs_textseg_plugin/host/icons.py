"""The plugin's icons."""

from __future__ import annotations

from qgis.PyQt.QtGui import QIcon

from rs_textseg_plugin.contract.folders import package_file


def plugin_icon() -> QIcon:
    """Return the plugin's own icon; an empty one where the resources are missing."""
    return QIcon(str(package_file("resources") / "icons" / "rs_textseg.svg"))
