"""The abstention rule: a class that is seen nowhere clearly is taken as absent.

Where a class is there, somewhere it is seen clearly, and then its fainter polygons are worth keeping as well. What is
only ever seen faintly is rarely there. One threshold for all polygons cannot say both.
"""

from __future__ import annotations

import numpy as np

from rs_textseg_plugin.engine.legend import Legend
from rs_textseg_plugin.engine.polygons import Polygonizer


def leave_out_absent(polygonizer: Polygonizer, legend: Legend, least_presence: float) -> list[str]:
    """Leave every class out of the result whose best polygon scores less; return what to say of that.

    Args:
        polygonizer: knows the polygons of the whole scene.
        legend: the competing classes; "everything else" is never absent.
        least_presence: 0..1; 0 leaves nothing out.
    """
    rows, labels, scores = polygonizer.kept()
    best = np.zeros(legend.positives + 1, np.float32)
    asked = (labels > 0) & (labels <= legend.positives)
    np.maximum.at(best, labels[asked], scores[asked])
    absent = np.flatnonzero((best > 0) & (best < least_presence))
    if not len(absent):
        return []
    polygonizer.keep_only(rows[~np.isin(labels, absent)])
    names = ", ".join(f"{legend.output[label - 1].name!r} (best {best[label]:.2f})" for label in absent)
    return [f"Taken as absent, since no polygon scores {least_presence:g} or more (least_presence): {names}."]
