from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely

from rs_textseg_plugin.contract.errors import EngineError
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.engine.results.placement import Placement
from rs_textseg_plugin.engine.results.polygons import Features
from rs_textseg_plugin.engine.results.vector_file import (
    FIELDS,
    LAYER,
    PROVENANCE_KEY,
    VectorFile,
    format_notes,
)

UTM = rasterio.crs.CRS.from_epsg(32633).to_wkt()
CLASSES = parse_class_list("building, road").output_classes


def features(count: int = 3, remarks: list[str] | None = None) -> Features:
    boxes = [shapely.box(500000 + 20 * i, 5000000, 500010 + 20 * i, 5000010) for i in range(count)]
    return Features(
        np.array(boxes, dtype=object),
        np.arange(count, dtype=np.uint8) % 2 + 1,
        np.linspace(0.5, 0.9, count, dtype=np.float32),
        np.full(count, "road", dtype=object),
        np.full(count, 0.25, np.float32),
        np.full(count, 100.0),
        None if remarks is None else np.array(remarks, dtype=object),
    )


def placed(*files) -> None:
    with Placement() as placement:
        for file in files:
            file.finish(placement)
        placement.commit()


def written(path, tmp_path, parts=(3,), crs=UTM, query="building, road"):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    file = VectorFile(path, scratch, crs, CLASSES, {"pipeline": "sam-clip", "query": query}, '{"a": 1}')
    for count in parts:
        file.add(features(count))
    placed(file)
    return pyogrio.read_info(path)


@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".fgb", ".geojson"])
def test_every_format_holds_the_features_and_their_attributes(tmp_path, suffix):
    path = tmp_path / f"result{suffix}"
    written(path, tmp_path, parts=(3, 2))
    meta, _, wkb, columns = pyogrio.raw.read(path)
    fields = dict(zip(meta["fields"], columns))
    short = {"runner_up_score": "run_score"} if suffix == ".shp" else {}
    assert [short.get(name, name) for name in FIELDS] == list(meta["fields"])
    assert sorted(fields["class"]) == ["building", "building", "building", "road", "road"]
    assert set(fields["query"]) == {"building, road"}
    np.testing.assert_allclose(
        fields["score"] - fields[short.get("runner_up_score", "runner_up_score")], fields["margin"]
    )
    assert shapely.is_valid(shapely.from_wkb(wkb)).all()


def remarked(path, tmp_path, *parts) -> VectorFile:
    """A file with a field for remarks, to which these features were added."""
    (tmp_path / "scratch").mkdir()
    constants = {"pipeline": "text2seg", "query": "building, road"}
    file = VectorFile(path, tmp_path / "scratch", UTM, CLASSES, constants, "{}", "branches")
    for part in parts:
        file.add(part)
    placed(file)
    return file


@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".fgb", ".geojson"])
def test_remarks_are_one_more_field_after_the_others_in_every_format(tmp_path, suffix):
    path = tmp_path / f"result{suffix}"
    said = ["boxes", "boxes+points", ""]
    file = remarked(path, tmp_path, features(3, said), features(2))
    meta, _, _, columns = pyogrio.raw.read(path)
    assert meta["fields"].tolist()[-2:] == ["query", "branches"]
    assert len(meta["fields"]) == len(FIELDS) + 1
    remarks = dict(zip(meta["fields"], columns))["branches"]
    assert sorted(text or "" for text in remarks) == ["", "", "", "boxes", "boxes+points"]
    assert file.notes == []


def test_long_remarks_are_cut_between_two_letters_for_shapefiles_and_that_is_told(tmp_path, recwarn):
    said = ["short", "ä" * 200, "a" * 255]
    file = remarked(tmp_path / "a.shp", tmp_path, features(3, said), features(1, ["b" * 254]))
    remarks = pyogrio.raw.read(tmp_path / "a.shp", columns=["branches"])[3][0]
    assert sorted(remarks) == sorted(["short", "ä" * 127, "a" * 254, "b" * 254])
    assert file.notes == [
        "A Shapefile holds 254 bytes of a text: the rest of the field branches is cut off "
        "(number of polygons with a longer text: 2)."
    ]
    assert [str(warning.message) for warning in recwarn] == []


def test_long_remarks_are_whole_in_other_formats(tmp_path):
    file = remarked(tmp_path / "a.gpkg", tmp_path, features(1, ["ä" * 900]))
    assert pyogrio.raw.read(tmp_path / "a.gpkg", columns=["branches"])[3][0].tolist() == ["ä" * 900]
    assert file.notes == []


def test_geojson_is_in_longitude_and_latitude_and_the_others_keep_the_rasters_crs(tmp_path):
    written(tmp_path / "a.geojson", tmp_path)
    west, south, east, north = pyogrio.read_info(tmp_path / "a.geojson")["total_bounds"]
    assert 14.9 < west < east < 15.1
    assert 45.1 < south < north < 45.2
    (tmp_path / "second").mkdir()
    info = written(tmp_path / "a.gpkg", tmp_path / "second")
    assert info["crs"] == "EPSG:32633"


def test_a_geopackage_carries_its_provenance(tmp_path):
    info = written(tmp_path / "a.gpkg", tmp_path)
    assert json.loads(info["layer_metadata"][PROVENANCE_KEY]) == {"a": 1}
    assert info["layer_name"] == LAYER


@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".fgb", ".geojson"])
def test_an_empty_result_is_a_layer_without_features(tmp_path, suffix):
    info = written(tmp_path / f"a{suffix}", tmp_path, parts=())
    assert len(pyogrio.raw.read(tmp_path / f"a{suffix}")[2]) == 0
    if suffix != ".geojson":  # a GeoJSON without features has no fields either
        assert "class" in info["fields"]


def test_a_raster_without_crs_gives_a_layer_without_crs(tmp_path):
    assert written(tmp_path / "a.gpkg", tmp_path, crs="")["crs"] in (None, "")


def test_a_long_query_is_cut_for_shapefiles_only(tmp_path):
    query = ", ".join(f"class{i}" for i in range(60))
    written(tmp_path / "a.shp", tmp_path, query=query)
    assert pyogrio.raw.read(tmp_path / "a.shp")[3][-1][0] == query[:254]


def test_a_long_query_of_wide_letters_is_cut_between_two_letters(tmp_path, recwarn):
    query = "Gebäude größer über ä, " * 20
    written(tmp_path / "a.shp", tmp_path, query=query)
    kept = pyogrio.raw.read(tmp_path / "a.shp")[3][-1][0]
    assert query.startswith(kept)
    assert 252 <= len(kept.encode()) <= 254
    assert [str(warning.message) for warning in recwarn] == []


def test_a_shapefile_keeps_its_name_whatever_its_case(tmp_path):
    assert written(tmp_path / "A.SHP", tmp_path)["features"] == 3


def test_parts_of_an_earlier_shapefile_that_would_be_wrong_are_removed(tmp_path):
    (tmp_path / "a.prj").write_text("the CRS of another raster")
    (tmp_path / "a.qix").write_bytes(b"places of other polygons")
    assert written(tmp_path / "a.shp", tmp_path, crs="")["crs"] is None
    assert sorted(path.suffix for path in tmp_path.glob("a.*")) == [".cpg", ".dbf", ".shp", ".shx"]


def test_a_vector_file_without_a_place_raises_no_warning_of_a_library(tmp_path, recwarn):
    written(tmp_path / "a.geojson", tmp_path, crs="")
    assert [str(warning.message) for warning in recwarn] == []


def test_geojson_without_a_crs_is_told_to_lie_in_the_wrong_place():
    assert "wrong place" in format_notes("a.geojson", "", "road")[0]
    assert format_notes("a.json", UTM, "road") == format_notes("a.gpkg", "", "road") == []


def test_a_query_that_a_shapefile_cannot_hold_is_told():
    assert "254 bytes of the query's 256" in format_notes("a.shp", UTM, "ä" * 128)[0]
    assert format_notes("a.shp", UTM, "ä" * 127) == format_notes("a.gpkg", UTM, "ä" * 999) == []


def test_an_earlier_result_survives_until_the_new_one_is_finished(tmp_path):
    path = tmp_path / "a.gpkg"
    path.write_bytes(b"earlier")
    (tmp_path / "scratch").mkdir()
    file = VectorFile(path, tmp_path / "scratch", UTM, CLASSES, {"pipeline": "p", "query": "q"}, "{}")
    file.add(features())
    assert path.read_bytes() == b"earlier"
    placed(file)
    assert pyogrio.read_info(path)["features"] == 3
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_geopackage_that_another_program_has_open_does_not_meet_the_new_ones_readers(tmp_path):
    """SQLite would play the changes of the old file, which wait in `-wal`, into the new one."""
    path = tmp_path / "a.gpkg"
    written(path, tmp_path, parts=(500,))
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA journal_mode=WAL")
    holder.execute("CREATE TABLE notes AS SELECT * FROM sqlite_master")
    assert (tmp_path / "a.gpkg-wal").stat().st_size > 0
    (tmp_path / "second").mkdir()
    written(path, tmp_path / "second", parts=(3,))
    for _ in range(2):  # while the other program is there, and after it went
        with closing(sqlite3.connect(path)) as reader:
            assert reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert reader.execute(f"SELECT count(*) FROM {LAYER}").fetchone() == (3,)
            assert reader.execute("SELECT count(*) FROM sqlite_master WHERE name = 'notes'").fetchone() == (0,)
        assert pyogrio.read_info(path)["features"] == 3
        holder.close()


def test_a_shapefile_whose_parts_are_links_is_written_where_they_point_to(tmp_path):
    (tmp_path / "real").mkdir()
    for suffix in (".shp", ".dbf"):
        (tmp_path / f"a{suffix}").symlink_to(tmp_path / "real" / f"b{suffix}")
    assert written(tmp_path / "a.shp", tmp_path)["features"] == 3
    assert pyogrio.read_info(tmp_path / "real" / "b.shp")["features"] == 3
    assert (tmp_path / "a.shp").is_symlink()
    assert (tmp_path / "a.dbf").is_symlink()


def test_a_layer_with_another_number_of_features_is_not_delivered(tmp_path):
    """A row too many, as another run's in the same file: the count is what tells."""
    path = tmp_path / "a.shp"
    path.write_bytes(b"earlier")
    (tmp_path / "scratch").mkdir()
    file = VectorFile(path, tmp_path / "scratch", UTM, CLASSES, {"pipeline": "p", "query": "q"}, "{}")
    file.add(features(3))
    pyogrio.raw.write(
        file.spool,
        geometry=shapely.to_wkb(np.array([shapely.box(0, 0, 1, 1)], dtype=object)),
        field_data=[np.array(["x"], dtype=object)],
        fields=np.array(["class"], dtype=object),
        layer=LAYER,
        driver="GPKG",
        geometry_type="MultiPolygon",
        append=True,
        promote_to_multi=True,
        crs="EPSG:32633",
    )
    with pytest.raises(EngineError, match="does not hold 3 polygons"):
        placed(file)
    assert path.read_bytes() == b"earlier"
