"""The parts of a tile's core that are seen by the same tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rs_textseg_plugin.contract.grid import Tile, TileGrid, TileSpan, Window
from rs_textseg_plugin.engine.mosaic.store import TileStore


@dataclass(frozen=True)
class Cell:
    """A window of the scene, and the indices of the tiles that see all of it, its owner first."""

    window: Window
    sources: tuple[tuple[int, int], ...]


def cells_of(tile: Tile, grid: TileGrid, store: TileStore) -> Iterator[Cell]:
    """Yield the cells that make up a tile's core: its middle, and the strips that neighbours see too."""
    columns, rows = grid.columns, grid.rows
    for row, height, row_indices in _split(tile.core.row, tile.core.row_stop, tile.row_index, rows):
        for col, width, col_indices in _split(tile.core.col, tile.core.col_stop, tile.col_index, columns):
            sources = [(r, c) for r in row_indices for c in col_indices if (r, c) in store]
            yield Cell(Window(col, row, width, height), tuple(sorted(sources, key=lambda index: index != tile.index)))


def _split(start: int, stop: int, own: int, spans: list[TileSpan]) -> Iterator[tuple[int, int, list[int]]]:
    """Cut ``start..stop`` where a neighbouring span begins or ends; yield (first, length, indices that cover it)."""
    near = [i for i in (own - 1, own, own + 1) if 0 <= i < len(spans)]
    edges = {start, stop}
    for i in near:
        edges.update(edge for edge in (spans[i].start, spans[i].stop) if start < edge < stop)
    ordered = sorted(edges)
    for first, last in zip(ordered, ordered[1:]):
        yield first, last - first, [i for i in near if spans[i].start <= first and spans[i].stop >= last]
