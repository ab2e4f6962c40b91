"""From a raster on disk to tiles of 8-bit pixels on a working grid."""
