"""From a labelled scene to the files of a result."""
