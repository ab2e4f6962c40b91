"""What the plugin does with QGIS itself: layers, tasks, settings. No widgets."""
