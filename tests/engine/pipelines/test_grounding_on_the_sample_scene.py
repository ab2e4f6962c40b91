"""grounding-sam from the raster to the polygons: a real Grounding DINO and the demo SAM over the sample scene.

The detector of the demo set is an OWL-ViT (see test_demo_set). That of this test is a Grounding DINO with random
weights, and the boxes of true buildings are planted at its output; all that comes before and after is real.
"""

from __future__ import annotations

import numpy as np
import pyogrio
import pytest
import rasterio
import rasterio.features
import shapely
import torch
from tiny_detector import write_tiny_detector
from tiny_pipelines import CPU, never

from rs_textseg_plugin.contract.grid import Extent
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.models.sam import load_sam
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision
from rs_textseg_plugin.engine.pipelines import grounding_sam
from rs_textseg_plugin.engine.service import Engine
from stage import ROOT

ensure_torchvision()

from segment_anything import SamPredictor  # noqa: E402

DEMO = ROOT / "resources" / "demo"
TILE_PX, PIXEL_M = 256, 0.25
CORNER = (512192.0, 5402616.0)  # upper left, on the corner of a tile
FIT = 0.9  # of every planted box to the word
MOST_BOXES = 8


@pytest.fixture(scope="module")
def boxes() -> np.ndarray:
    """Boxes (left, top, right, bottom) in the tile's pixels of the largest true buildings that lie inside the tile."""
    _, _, wkb, (names,) = pyogrio.raw.read(DEMO / "truth.gpkg", columns=["class"])
    tile = shapely.box(CORNER[0], CORNER[1] - TILE_PX * PIXEL_M, CORNER[0] + TILE_PX * PIXEL_M, CORNER[1])
    inside = [s for s, name in zip(shapely.from_wkb(wkb), names) if name == "building" and tile.contains_properly(s)]
    bounds = shapely.bounds(sorted(inside, key=lambda shape: -shape.area)[:MOST_BOXES])
    assert len(bounds) >= 3
    left, bottom, right, top = bounds.T
    return np.stack([left - CORNER[0], CORNER[1] - top, right - CORNER[0], CORNER[1] - bottom], axis=1) / PIXEL_M


def planted_at_the_output(model, boxes: np.ndarray) -> None:
    """Let a detector answer with these boxes for its first word, and with nothing for its other queries."""

    def plant(module, inputs, outputs):
        fits = torch.full_like(outputs.logits, -9.0)
        fits[0, : len(boxes), 1] = torch.logit(torch.tensor(FIT))  # tokens: [CLS] building . [SEP]
        corners = torch.tensor(boxes / TILE_PX, dtype=outputs.pred_boxes.dtype)
        outputs.logits = fits
        outputs.pred_boxes[0, : len(boxes)] = torch.cat(
            [(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], dim=1
        )
        return outputs

    model.register_forward_hook(plant)


@pytest.fixture(scope="module")
def result(boxes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    write_tiny_detector(folder)
    (folder / "sam_demo.safetensors").write_bytes((DEMO / "sam_demo.safetensors").read_bytes())

    def load(inputs):
        planted_at_the_output(inputs.detector().model, boxes)
        return grounding_sam.load(inputs)

    side = TILE_PX * PIXEL_M
    extent = Extent(CORNER[0], CORNER[1] - side, CORNER[0] + side, CORNER[1])
    exact = {"tile_px": TILE_PX, "overlap_px": 0, "simplify_m": 0, "min_area_m2": 0, "fill_holes_m2": 0}
    recipe = Recipe("grounding-sam", str(folder), exact, device="cpu")
    output = Output(str(folder / "out.gpkg"), str(folder / "labels.tif"))
    scene = Scene(str(DEMO / "scene.tif"), extent=extent)
    events = list(
        Engine({"grounding-sam": load}).run(Request(scene, parse_class_list("building"), recipe, output), never)
    )
    return events[-1]


def test_the_pixels_are_those_of_the_reference_predictor_for_the_same_boxes(result, boxes):
    with rasterio.open(DEMO / "scene.tif") as file:
        column, row = (int(value) for value in ~file.transform * CORNER)
        window = rasterio.windows.Window(column, row, TILE_PX, TILE_PX)
        rgb = np.ascontiguousarray(file.read([1, 2, 3], window=window).transpose(1, 2, 0))
    predictor = SamPredictor(load_sam(DEMO / "sam_demo.safetensors", CPU, torch.float32).sam)
    predictor.set_image(rgb)
    expected = np.zeros((TILE_PX, TILE_PX), bool)
    for box in boxes:
        expected |= predictor.predict(box=box, multimask_output=False)[0][0]
    with rasterio.open(result.label_raster) as file:
        found = file.read(1) == 1
    assert expected.any()
    assert (found & expected).sum() > 0.97 * (found | expected).sum()  # features are kept in half precision


def test_every_polygon_has_the_score_of_its_box_and_lies_on_the_ground_where_the_pixels_are(result, boxes):
    meta, _, wkb, columns = pyogrio.raw.read(result.path)
    fields = dict(zip(meta["fields"], columns))
    assert len(wkb) >= 1
    assert set(fields["class"]) == {"building"}
    np.testing.assert_allclose(fields["score"], FIT, atol=1e-4)
    with rasterio.open(result.label_raster) as file:
        burnt = rasterio.features.rasterize(shapely.from_wkb(wkb), file.shape, transform=file.transform)
        np.testing.assert_array_equal(burnt, file.read(1))
    assert result.classes[0].count == len(wkb)
