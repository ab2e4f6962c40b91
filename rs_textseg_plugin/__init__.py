"""RS TextSeg: text-driven segmentation of aerial and satellite imagery, inside QGIS."""


def classFactory(iface):  # noqa: N802 (QGIS calls this name)
    """Return the plugin object that QGIS keeps; nothing is imported before QGIS asks."""
    from rs_textseg_plugin.plugin import RsTextSegPlugin

    return RsTextSegPlugin(iface)
