"""What the plugin offers to Processing: the toolbox, the modeler, batch runs and qgis_process."""
