"""Trains a learned upsampler for the patches of any CLIP on rasters that nobody has labelled."""
