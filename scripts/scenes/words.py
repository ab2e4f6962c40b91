"""The classes of a drawn scene, in words that an analyst would type."""

from __future__ import annotations

from typing import NamedTuple

CLASSES = (
    "building",
    "road",
    "water",
    "tree",
    "forest",
    "grass",
    "cropland",
    "bare soil",
    "car",
    "ship",
    "swimming pool",
    "solar panel",
    "car park",
    "storage tank",
)
# Things are counted one by one as they are drawn; of everything else, each connected region is one object.
THINGS = frozenset({"building", "tree", "car", "ship", "swimming pool", "solar panel", "storage tank"})
UNLABELLED = 0


class Label(NamedTuple):
    """What a painted pixel is: 1-based position in `CLASSES`, and a number for things (0 for the others)."""

    value: int
    number: int


PAVED = Label(UNLABELLED, 0)  # quays, terraces and drives: none of the classes
