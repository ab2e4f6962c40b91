from __future__ import annotations

import numpy as np
from PIL import Image

from rs_textseg_plugin.contract.events import ClassSummary
from rs_textseg_plugin.contract.grid import PixelGrid, Transform, Window
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.engine.raster.reader import TileImage
from rs_textseg_plugin.engine.results.map_picture import draw_map
from rs_textseg_plugin.engine.results.vector_file import VectorFile


def test_a_long_title_without_spaces_stays_inside_the_picture(tmp_path):
    names = ",".join(f"thing{i}" for i in range(40))
    query = parse_class_list(names)
    vectors = VectorFile(tmp_path / "a.gpkg", tmp_path, "", query.output_classes, {"pipeline": "p", "query": "q"}, "{}")
    image = TileImage(np.zeros((30, 40, 3), np.uint8), np.ones((30, 40), bool), Window(0, 0, 40, 30))
    rows = tuple(ClassSummary(one.name, one.colour, 0, 0.0, 0.0) for one in query.output_classes)
    grid = PixelGrid(40, 30, Transform(1, 0, 0, 0, -1, 30))
    draw_map(tmp_path / "map.png", image, vectors.spool, grid, rows, names, "footer")
    picture = np.asarray(Image.open(tmp_path / "map.png"))
    assert (picture[:, -20:] == 255).all()
    assert (picture[:, 60:] < 255).any()
