"""The help page that comes with the plugin."""

from __future__ import annotations

from qgis.PyQt.QtCore import QUrl

from rs_textseg_plugin.contract.folders import package_file


def help_url() -> QUrl:
    """Return the address of the page on this computer; nothing is fetched for it."""
    return QUrl.fromLocalFile(str(package_file("resources") / "help" / "index.html"))
