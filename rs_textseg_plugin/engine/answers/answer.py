"""What a pipeline says of one tile: segments, a class map, or both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.answers.class_map import ProbabilityMap

NO_CLASS = -1  # index of a segment or pixel for which no class was sure enough


@dataclass(frozen=True)
class PackedMask:
    """A boolean mask at one bit a pixel.

    Attributes:
        bits: ``np.packbits`` of the mask, row by row, without padding between rows.
        height, width: of the mask in pixels.
    """

    bits: NDArray[np.uint8]
    height: int
    width: int

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> PackedMask:
        """Pack a boolean array ``(h, w)``."""
        return cls(np.packbits(mask), *mask.shape)

    def unpack(self) -> NDArray[np.bool_]:
        """Return the mask, ``(h, w)`` bool."""
        flat = np.unpackbits(self.bits, count=self.height * self.width)
        return flat.view(np.bool_).reshape(self.height, self.width)

    @property
    def area_px(self) -> int:
        """Number of pixels inside the mask."""
        return int(np.unpackbits(self.bits, count=self.height * self.width).sum())


@dataclass(frozen=True)
class Segment:
    """One object of a tile.

    Attributes:
        window: bounding box of the mask, relative to the tile.
        mask: the object inside that window.
        label: index of its class in the legend, or `NO_CLASS`.
        scores: ``(K,)`` float32, probability (0..1) of every competing class.
        remark: what is to be said of the object beside its class; empty: nothing.
    """

    window: Window
    mask: PackedMask
    label: int
    scores: NDArray[np.float32]
    remark: str = ""


@dataclass(frozen=True)
class RemarkMap:
    """What is to be said of the pixels of a tile that lie under no segment.

    Attributes:
        numbers: ``(H, W)`` uint8 or uint16, which of the texts belongs to a pixel.
        texts: the texts; an empty one says nothing.
    """

    numbers: NDArray[np.unsignedinteger[Any]]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What a pipeline says of one tile.

    Attributes:
        segments: objects, in any order; smaller ones are painted over larger ones.
        class_map: classes for pixels under no segment; None: those stay without a class.
        merged: class index (or `NO_CLASS`) of every object that went into the class map and is no segment.
        remarks: what is to be said of pixels under no segment; None: nothing.
    """

    segments: tuple[Segment, ...]
    class_map: ProbabilityMap | None
    merged: tuple[int, ...] = ()
    remarks: RemarkMap | None = None

    @property
    def found(self) -> tuple[int, ...]:
        """Class index (or `NO_CLASS`) of every object that was found, for counting."""
        return (*(segment.label for segment in self.segments), *self.merged)
