"""The plugin's entry in the Processing toolbox."""

from __future__ import annotations

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from rs_textseg_plugin.algorithms.segment_by_text import SegmentByText
from rs_textseg_plugin.contract.version import VERSION
from rs_textseg_plugin.host.icons import plugin_icon
from rs_textseg_plugin.host.server.endpoint_key import KeyHolder
from rs_textseg_plugin.host.translate import tr
from rs_textseg_plugin.runtime.client import EngineClient


class RsTextSegProvider(QgsProcessingProvider):
    """Offers the algorithms; all of them use the engine that it is given.

    Args:
        client: the engine.
        keys: is asked by the client for the key of a run.
    """

    def __init__(self, client: EngineClient, keys: KeyHolder | None = None) -> None:
        super().__init__()
        self._client, self._keys = client, keys or KeyHolder()

    def id(self) -> str:
        """Return the stable id."""
        return "rstextseg"

    def name(self) -> str:
        """Return the name in the toolbox."""
        return "RS TextSeg"

    def longName(self) -> str:  # noqa: N802 (QGIS's name)
        """Return the name with the purpose."""
        return tr("RS TextSeg: segmentation of imagery by text")

    def versionInfo(self) -> str:  # noqa: N802 (QGIS's name)
        """Return the product's version."""
        return VERSION

    def icon(self) -> QIcon:
        """Return the plugin's icon."""
        return plugin_icon()

    def loadAlgorithms(self) -> None:  # noqa: N802 (QGIS's name)
        """Add the algorithms."""
        self.addAlgorithm(SegmentByText(self._client, self._keys))

    def defaultVectorFileExtension(self, hasGeometry: bool = True) -> str:  # noqa: N802, N803 (QGIS's names)
        """Return the format of temporary results."""
        return "gpkg"

    def supportedOutputVectorLayerExtensions(self) -> list[str]:  # noqa: N802 (QGIS's name)
        """Return the formats that the engine writes."""
        return ["gpkg", "shp", "geojson", "json", "fgb"]

    def supportedOutputRasterLayerExtensions(self) -> list[str]:  # noqa: N802 (QGIS's name)
        """Return the formats of the label and score rasters."""
        return ["tif"]

    def supportsNonFileBasedOutput(self) -> bool:  # noqa: N802 (QGIS's name)
        """Return that results are files: another process writes them."""
        return False
