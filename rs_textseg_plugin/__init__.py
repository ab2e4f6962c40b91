"""RS TextSeg: text-driven segmentation of aerial and satellite imagery, inside QGIS."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # the engine imports this package too, in a Python without QGIS
    from qgis.gui import QgisInterface

    from rs_textseg_plugin.plugin import RsTextSegPlugin


def classFactory(iface: QgisInterface) -> RsTextSegPlugin:  # noqa: N802 (QGIS calls this name)
    """Return the plugin object that QGIS keeps; nothing is imported before QGIS asks."""
    from rs_textseg_plugin.plugin import RsTextSegPlugin

    return RsTextSegPlugin(iface)
