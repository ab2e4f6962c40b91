"""The files of one result: they grow block by block, and take their places together at the end."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.contract.events import ClassSummary
from rs_textseg_plugin.contract.recipe import find_pipeline
from rs_textseg_plugin.contract.request import Request
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.disk.full_disk import written_whole
from rs_textseg_plugin.engine.raster.ground_resolution import ground_resolution_m
from rs_textseg_plugin.engine.raster.reader import SceneReader, open_scene
from rs_textseg_plugin.engine.results.class_scores import ClassScores
from rs_textseg_plugin.engine.results.map_picture import LONG_SIDE_PX, draw_map
from rs_textseg_plugin.engine.results.placement import Placement
from rs_textseg_plugin.engine.results.polygons import Block
from rs_textseg_plugin.engine.results.raster_file import RasterFile
from rs_textseg_plugin.engine.results.vector_file import PROVENANCE_KEY, VectorFile

_MOST_TIMES_FINER = 8.0  # than the raster's pixels, for the picture of a small extent; see `MOST_TIMES_THE_PIXELS`


class ResultFiles:
    """The vector file, and the rasters and the picture that are asked for.

    Args:
        request: names the files.
        reader: the open scene, whose grid and extent the files have.
        legend: the classes.
        scratch: an existing folder for the growing files.
        provenance: JSON text that goes into every file that can hold it.
        class_scores: written while tiles were joined; described and placed here, closed by whoever opened them.

    Attributes:
        picture: path of the map picture; empty until it was drawn.
    """

    def __init__(
        self,
        request: Request,
        reader: SceneReader,
        legend: Legend,
        scratch: Path,
        provenance: str,
        class_scores: ClassScores,
    ) -> None:
        self._request, self._reader, self._scratch = request, reader, scratch
        self._vectors = _vector_file(request, reader, legend, scratch, provenance)
        colours = {value: spec.colour for value, spec in enumerate(legend.output, start=1)}
        output, place = request.output, (reader.grid, reader.extent)
        with ExitStack() as opened:
            self._labels = RasterFile(output.label_raster, scratch / "output_labels.tif", *place, "uint8", 0, colours)
            opened.callback(self._labels.close)
            nothing = float("nan")
            self._scores = RasterFile(output.score_raster, scratch / "output_scores.tif", *place, "float32", nothing)
            opened.callback(self._scores.close)
            self._open = opened.pop_all()
        self._class_scores = class_scores
        names = {f"CLASS_{value}": spec.name for value, spec in enumerate(legend.output, start=1)}
        for raster in (self._labels, self._scores):
            raster.tag({**names, PROVENANCE_KEY: provenance})
        class_scores.tag({PROVENANCE_KEY: provenance})
        self.picture = ""

    def add(self, block: Block) -> None:
        """Append a block of the result."""
        self._vectors.add(block.features)
        self._labels.write(block.window, block.labels)
        self._scores.write(block.window, block.scores)

    def draw(self, classes: tuple[ClassSummary, ...], footer: str) -> str:
        """Draw the map picture if one is asked for, after the last block.

        Args:
            classes: rows of the legend.
            footer: its last lines.

        Returns:
            Why there is no picture although one was asked for; empty: all is well.
        """
        if not self._request.output.map_picture:
            return ""
        shown = replace(self._request.scene, ground_resolution_m=_picture_resolution_m(self._reader))
        try:
            with open_scene(shown) as reader:
                image = reader.read(reader.extent)
                title = self._request.query.text
                self._vectors.check()
                with written_whole(self._drawn):
                    draw_map(self._drawn, image, self._vectors.spool, reader.grid, classes, title, footer)
        except SceneError as error:  # thin strips of data can vanish at the picture's resolution
            return f"There is no map picture: {error}"
        self.picture = self._request.output.map_picture
        return ""

    @property
    def clicks(self) -> Path:
        """Where a model's answer is written, where one is asked for; placed with the other files."""
        return self._scratch / "clicks.geojson"

    @property
    def notes(self) -> list[str]:
        """What the user should know of the files after the last block, in words."""
        return self._vectors.notes

    @property
    def _drawn(self) -> Path:
        return self._scratch / "map.png"

    def finish(self, placement: Placement) -> None:
        """Hand all files over for their targets.

        Raises:
            OutputError: a target's folder has no room.
        """
        if self.picture:
            placement.put(self._drawn, Path(self.picture))
        if self._request.output.clicks:
            placement.put(self.clicks, Path(self._request.output.clicks))
        for file in (self._labels, self._scores, self._class_scores, self._vectors):
            file.finish(placement)

    def close(self) -> None:
        """Close what is still open."""
        self._open.close()


def _picture_resolution_m(reader: SceneReader) -> float:
    """Return the size of a pixel of the map picture: the extent fills it, unless its pixels are very few."""
    extent = reader.extent
    working_m, raster_m = (sum(ground_resolution_m(grid)) / 2 for grid in (reader.grid, reader.native_grid))
    return max(working_m * max(extent.width, extent.height) / LONG_SIDE_PX, raster_m / _MOST_TIMES_FINER)


def _vector_file(request: Request, reader: SceneReader, legend: Legend, scratch: Path, provenance: str) -> VectorFile:
    constants = {"pipeline": request.recipe.pipeline, "query": request.query.text}
    remark_field = find_pipeline(request.recipe.pipeline).remark_field
    path, crs_wkt = Path(request.output.path), reader.grid.crs_wkt
    return VectorFile(path, scratch, crs_wkt, legend.output, constants, provenance, remark_field)
