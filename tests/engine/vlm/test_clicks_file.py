"""Boxes and points in a file: written, edited by people, and read again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely
from rasterio.crs import CRS

from rs_textseg_plugin.contract.errors import QueryError
from rs_textseg_plugin.contract.grid import PixelGrid, Transform
from rs_textseg_plugin.engine.vlm.clicks_file import read_clicks, write_clicks
from rs_textseg_plugin.engine.vlm.instance import Instance

UTM = CRS.from_epsg(32633).to_wkt()
NORTH_UP = PixelGrid(400, 300, Transform(0.5, 0, 500_000, 0, -0.5, 5_000_000), UTM)
TURNED = PixelGrid(400, 300, Transform(0.4, 0.3, 500_000, 0.3, -0.4, 5_000_000), UTM)
UNKNOWN = PixelGrid(400, 300, Transform(1, 0, 0, 0, 1, 0), "")
INSTANCES = [
    Instance("the white ship", (10.5, 20.0, 60.0, 45.25), ((30.5, 30.5), (40.0, 35.0)), ((5.0, 5.0),), 0.8),
    Instance("", None, ((200.0, 100.0),), (), None),
    Instance("box only", (100.0, 100.0, 101.0, 102.0)),
]


@pytest.mark.parametrize("grid", [NORTH_UP, UNKNOWN])
def test_instances_are_the_same_after_a_file(grid, tmp_path):
    path = tmp_path / "clicks.geojson"
    write_clicks(path, INSTANCES, grid)
    for ours, theirs in zip(INSTANCES, read_clicks(path, grid), strict=True):
        assert (ours.words, ours.confidence) == (theirs.words, theirs.confidence)
        assert (ours.box is None) == (theirs.box is None)
        np.testing.assert_allclose(theirs.box or (), ours.box or (), atol=1e-6)
        np.testing.assert_allclose(theirs.inside, ours.inside, atol=1e-6)
        np.testing.assert_allclose(np.reshape(theirs.outside, (-1, 2)), np.reshape(ours.outside, (-1, 2)), atol=1e-6)


def test_who_answered_stands_in_the_file_and_disturbs_nobody(tmp_path):
    path = tmp_path / "clicks.geojson"
    write_clicks(path, INSTANCES, NORTH_UP, {"model": "m", "convention": "grid-1000-yx"})
    assert json.loads(path.read_text())["answered_by"] == {"model": "m", "convention": "grid-1000-yx"}
    assert len(read_clicks(path, NORTH_UP)) == len(INSTANCES)
    assert pyogrio.raw.read(path)[0]["crs"] == "EPSG:32633"
    write_clicks(path, INSTANCES, NORTH_UP)
    assert "answered_by" not in json.loads(path.read_text())


def test_a_box_on_a_turned_raster_stays_a_box_of_its_pixels(tmp_path):
    path = tmp_path / "clicks.geojson"
    write_clicks(path, INSTANCES, TURNED)
    np.testing.assert_allclose(read_clicks(path, TURNED)[0].box, INSTANCES[0].box, atol=1e-6)
    box = shapely.from_wkb(pyogrio.raw.read(path)[2][0])
    assert box.area == pytest.approx(49.5 * 25.25 * 0.25)
    assert not box.equals(shapely.envelope(box))


def test_other_programs_see_where_it_is(tmp_path):
    path = tmp_path / "clicks.geojson"
    write_clicks(path, INSTANCES, NORTH_UP)
    meta, _, _, _ = pyogrio.raw.read(path)
    assert meta["crs"] == "EPSG:32633"
    assert {"kind", "instance", "words", "confidence"} <= set(meta["fields"])


def edited(path: Path, *features: dict, **members) -> Path:
    drawn = [{"type": "Feature", **feature} for feature in features]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": drawn, **members}))
    return path


def point(x: float, y: float, kind: str = "inside", **properties) -> dict:
    place = {"type": "Point", "coordinates": NORTH_UP.transform.to_map(x, y)}
    return {"properties": {"kind": kind, **properties}, "geometry": place}


def box(left, top, right, bottom, **properties) -> dict:
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    ring = [NORTH_UP.transform.to_map(*corner) for corner in corners]
    return {"properties": {"kind": "box", **properties}, "geometry": {"type": "Polygon", "coordinates": [ring]}}


def test_points_that_a_person_added_join_the_box_around_them(tmp_path):
    features = [box(10, 10, 50, 50, instance=1), box(100, 100, 150, 150)]
    added = [point(20, 20), point(120, 110, "outside"), point(300, 200), point(301, 201, "outside")]
    first, second, alone = read_clicks(edited(tmp_path / "a.geojson", *features, *added), NORTH_UP)
    assert (first.inside, first.outside) == (((20, 20),), ())
    assert (second.inside, second.outside) == ((), ((120, 110),))
    assert (alone.box, alone.inside, alone.outside) == (None, ((300, 200),), ())


def test_a_point_with_a_number_stays_with_its_instance_wherever_it_was_moved(tmp_path):
    path = edited(tmp_path / "a.geojson", box(10, 10, 50, 50, instance=7), point(200, 200, instance=7))
    (one,) = read_clicks(path, NORTH_UP)
    assert one.inside == ((200, 200),)


def test_an_empty_file_holds_nothing(tmp_path):
    assert read_clicks(edited(tmp_path / "a.geojson"), NORTH_UP) == []


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        (point(1, 1, "somewhere"), "its kind is 'somewhere'"),
        ({"properties": {"kind": "inside"}, "geometry": None}, "Feature 1 .* is not understood"),
        ({"properties": None, "geometry": {"type": "Point", "coordinates": [1, 2]}}, "Feature 1 .* is not understood"),
        ({"properties": {"kind": "box"}, "geometry": {"type": "Polygon", "coordinates": []}}, "0 places"),
        ({"properties": {"kind": "box"}, "geometry": {"type": "Circle"}}, "Feature 1 .* is not understood"),
    ],
)
def test_a_feature_that_is_none_of_the_three_is_named(feature, words, tmp_path):
    with pytest.raises(QueryError, match=words):
        read_clicks(edited(tmp_path / "a.geojson", feature), NORTH_UP)


def test_another_crs_is_refused(tmp_path):
    path = edited(tmp_path / "a.geojson", point(1, 1), crs_wkt=CRS.from_epsg(4326).to_wkt())
    with pytest.raises(QueryError, match="another CRS than the raster"):
        read_clicks(path, NORTH_UP)
    with pytest.raises(QueryError, match=r"CRS of the clicks .* cannot be read"):
        read_clicks(edited(tmp_path / "b.geojson", point(1, 1), crs_wkt="nonsense"), NORTH_UP)


def test_what_is_no_geojson_is_refused(subtests, tmp_path):
    for text in ("", "[]", '{"features": 3}', "no json"):
        with subtests.test(text=text):
            path = tmp_path / "a.geojson"
            path.write_text(text)
            with pytest.raises(QueryError, match="no GeoJSON"):
                read_clicks(path, NORTH_UP)
