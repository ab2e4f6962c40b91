"""The abstention rule: a class that is seen nowhere clearly is taken as absent.

A class that is there is mostly seen clearly somewhere, and then its fainter pixels are worth keeping as well. What is
only ever seen faintly is rarely there. One threshold for all pixels cannot say both.
"""

from __future__ import annotations

import math

import numpy as np

from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.results.polygons import Polygonizer


def leave_out_absent(
    polygonizer: Polygonizer,
    legend: Legend,
    least_presence: float,
    least_area_m2: float,
    control: RunControl,
) -> list[str]:
    """Leave every class out of the result that has too few clear pixels in all its polygons.

    Args:
        polygonizer: knows the polygons of the whole scene.
        legend: the competing classes; "everything else" is never absent.
        least_presence: probability from which on a pixel is clear, 0..1; 0: nothing is left out.
        least_area_m2: what a class needs of clear pixels, in m2 on the ground, but one pixel at least.
        control: is asked before each block.

    Returns:
        What to say of it, in sentences.
    """
    if not least_presence:
        return []
    clear_m2, best = np.zeros(legend.positives + 1), np.zeros(legend.positives + 1, np.float32)
    for window in polygonizer.blocks():
        control.check()
        labels, scores, pixel_m2 = polygonizer.pixels(window)
        asked = (labels > 0) & (labels <= legend.positives)
        found, probable = labels[asked], scores[asked]
        np.maximum.at(best, found, probable)
        clear_m2 += pixel_m2 * np.bincount(found[probable >= least_presence], minlength=len(clear_m2))
    absent = np.flatnonzero((best > 0) & ((clear_m2 == 0) | (clear_m2 < least_area_m2)))
    if not len(absent):
        return []
    polygonizer.leave_out(absent)
    too_little = f"less than {least_area_m2:g} m2 of it" if least_area_m2 else "no pixel of it"
    # Rounded down, so that what misses the threshold does not look like it.
    names = (
        f"{legend.output[label - 1].name!r} (at most {math.floor(100 * best[label]) / 100:.2f})" for label in absent
    )
    return [
        f"Taken as absent, since {too_little} has a probability of {least_presence:g} or more (least_presence): "
        f"{', '.join(names)}."
    ]
