"""What sending to a server needs of QGIS: consent and keys."""
