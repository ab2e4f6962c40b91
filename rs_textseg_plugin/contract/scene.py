"""What is looked at: a raster, its bands, how its values become 8-bit, and which part of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Optional

from rs_textseg_plugin.contract.errors import SceneError, shown
from rs_textseg_plugin.contract.grid import Extent


@dataclass(frozen=True)
class Stretch:
    """How band values become the 0..255 that the models were trained on; one for the whole scene.

    Attributes:
        kind: ``auto`` (8-bit as it is, else ``percentile``), ``none``, ``percentile`` or ``range``.
        low: lower percentile (0..100), or the value that becomes 0.
        high: upper percentile (0..100), or the value that becomes 255.
    """

    kind: str = "auto"
    low: float = 2.0
    high: float = 98.0

    @classmethod
    def parse(cls, text: str) -> Stretch:
        """Read ``auto``, ``none``, ``percentile:2:98`` or ``range:0:4000``.

        Raises:
            SceneError: another word, or a range without extent.
        """
        kind, *numbers = text.split(":")
        try:
            low, high = (float(number) for number in numbers) if numbers else (2.0, 98.0)
        except ValueError:
            low, high = 0.0, -1.0
        percentiles_fit = kind != "percentile" or (low >= 0 and high <= 100)
        kinds = ("percentile", "range") if numbers else ("auto", "none", "percentile", "range")
        if kind not in kinds or not -math.inf < low < high < math.inf or not percentiles_fit:
            raise SceneError(
                f"The stretch {shown(text)} is not understood: write auto, none, percentile:2:98 or range:0:4000."
            )
        if kind == "range" and not numbers:
            raise SceneError("The stretch 'range' needs two values, for example range:0:4000.")
        return cls(kind, low, high)


def default_bands(count: int) -> tuple[int, ...]:
    """Return the bands that are read of a raster with `count` where none is named: the first three, else the first."""
    return (1, 2, 3) if count >= 3 else (1,)


@dataclass(frozen=True)
class Scene:
    """What is looked at.

    Attributes:
        path: the raster, anything that GDAL opens.
        bands: 1-based band numbers for red, green and blue; a single one is used as grey; none: `default_bands`.
        stretch: how values become 8-bit.
        nodata: a value that marks missing pixels, beside what the file declares; None: only what it declares.
        extent: the part that is asked for, in the raster's CRS; None: all of it.
        mask_wkb_hex: a (multi)polygon in the raster's CRS outside of which nothing is output; hexadecimal WKB.
        ground_resolution_m: size of a working pixel on the ground in metres; None: the raster's own.
        crs_wkt: a CRS for a raster that carries none; ignored where the raster has one.
    """

    path: str
    bands: tuple[int, ...] = (1, 2, 3)
    stretch: Stretch = Stretch()
    nodata: Optional[float] = None
    extent: Optional[Extent] = None
    mask_wkb_hex: str = ""
    ground_resolution_m: Optional[float] = None
    crs_wkt: str = ""

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Scene:
        """Rebuild from what JSON makes of a `Scene`."""
        extent = Extent(**data["extent"]) if data["extent"] else None
        values = {**data, "bands": tuple(data["bands"]), "stretch": Stretch(**data["stretch"]), "extent": extent}
        return cls(**values)
