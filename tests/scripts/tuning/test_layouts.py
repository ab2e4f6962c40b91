"""Data in the layouts that tuning reads."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from pyproj import Transformer
from rasters import texture, write_raster
from tuning_data import picture_of, save, square, write_earth_reason, write_mask_table, write_rrsis_d

from rs_textseg_plugin.contract.errors import SceneError
from rs_textseg_plugin.contract.scene import Scene
from tuning.earth_reason import read_earth_reason
from tuning.examples import APART, WHOLE, Shown, coarser, in_split, things_in
from tuning.mask_table import read_mask_table
from tuning.own_polygons import PolygonData, read_polygons
from tuning.rrsis_d import read_plain_pickle, read_rrsis_d


@pytest.fixture
def rrsis(tmp_path):
    return write_rrsis_d(tmp_path / "RRSIS-D")


def test_rrsis_d_gives_the_phrases_of_a_split_with_their_masks(rrsis):
    train = read_rrsis_d(rrsis, "train", WHOLE)
    assert [one.phrase for one in train] == ["the bright square 0", "another"]
    assert {one.label for one in train} == {"tank"}
    assert len({one.key for one in train}) == 2
    shown = train[1].read()
    assert np.array_equal(shown.target, square(10, 12, 16))
    assert shown.rgb.shape == (64, 96, 3)
    (test,) = read_rrsis_d(rrsis, "test", WHOLE)
    assert np.array_equal(test.read().objects[0], square(50, 12, 16))


def test_the_inner_folder_of_rrsis_d_is_taken_too(rrsis):
    (rrsis / "images" / "rrsisd" / "JPEGImages").rename(rrsis / "rrsisd" / "JPEGImages")
    assert read_rrsis_d(rrsis / "rrsisd", "val", WHOLE)[0].read().target.any()


def test_a_split_that_rrsis_d_does_not_have_is_refused(rrsis):
    with pytest.raises(SceneError, match="no phrase of the split 'testA'"):
        read_rrsis_d(rrsis, "testA", WHOLE)


@pytest.mark.parametrize("name", ["rrsisd/instances.json", "rrsisd/refs(unc).p"])
def test_a_file_that_rrsis_d_lacks_is_named(rrsis, name):
    (rrsis / name).unlink()
    with pytest.raises(SceneError, match=r"There is no .*(instances\.json|refs\(unc\)\.p): name the folder"):
        read_rrsis_d(rrsis, "train", WHOLE)


def test_a_picture_that_rrsis_d_lacks_is_named_when_it_is_read(rrsis):
    (rrsis / "images" / "rrsisd" / "JPEGImages" / "0.png").unlink()
    example = read_rrsis_d(rrsis, "train", WHOLE)[0]
    with pytest.raises(SceneError, match=r"0\.png cannot be read"):
        example.read()


class _Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_a_pickle_that_wants_to_run_something_is_refused_and_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "refs.p").write_bytes(pickle.dumps([{"a": _Harmful()}]))
    with pytest.raises(SceneError, match=r"was not read \(it names \w+\.mkdir\)"):
        read_plain_pickle(tmp_path / "refs.p")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04"])
def test_a_damaged_pickle_is_refused(tmp_path, content):
    (tmp_path / "refs.p").write_bytes(content)
    with pytest.raises(SceneError, match="was not read"):
        read_plain_pickle(tmp_path / "refs.p")


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_plain_pickles_of_all_ages_are_read(tmp_path, protocol):
    value = [{"ref_id": 3, "sentences": [{"raw": "a ship", "tokens": ["a", "ship"]}], "x": 1.5, "y": None}]
    (tmp_path / "refs.p").write_bytes(pickle.dumps(value, protocol))
    assert read_plain_pickle(tmp_path / "refs.p") == value


def test_earth_reason_gives_all_questions_for_training_and_the_first_for_evaluation(tmp_path):
    folder = write_earth_reason(tmp_path)
    assert [one.phrase for one in read_earth_reason(folder, "train", APART)] == [
        "where a?", "which a?", "where b?", "which b?",
    ]  # fmt: skip
    evaluated = read_earth_reason(folder, "test", APART)
    assert [one.phrase for one in evaluated] == ["where a?", "where b?"]
    first, second = (one.read() for one in evaluated)
    assert [int(mask.sum()) for mask in first.objects] == [400, 25]
    assert second.objects == ()
    assert not second.target.any()


def test_earth_reason_is_read_as_it_comes_out_of_its_archive(tmp_path):
    folder = write_earth_reason(tmp_path)
    (folder / "val" / "val").mkdir()
    (folder / "val" / "images").rename(folder / "val" / "val" / "images")
    assert len(read_earth_reason(folder, "val", WHOLE)) == 2


def test_a_picture_of_earth_reason_without_questions_is_named(tmp_path):
    folder = write_earth_reason(tmp_path)
    (folder / "val" / "QAs" / "b.json").unlink()
    with pytest.raises(SceneError, match=r"1 pictures .* the first is b\.png"):
        read_earth_reason(folder, "val", WHOLE)


@pytest.mark.parametrize("text", ["{", "[]", '{"question": "x"}'])
def test_questions_that_cannot_be_read_are_named(tmp_path, text):
    folder = write_earth_reason(tmp_path)
    (folder / "val" / "QAs" / "a.json").write_text(text)
    with pytest.raises(SceneError, match=r"a\.json has no list of"):
        read_earth_reason(folder, "val", WHOLE)


def test_a_table_joins_the_rows_of_a_picture_and_phrase(tmp_path):
    table = write_mask_table(tmp_path, 1)
    save(square(70, 40, 10).astype(np.uint8), tmp_path / "more.png")
    with table.open("a") as file:
        file.write("0.png,more.png,the bright square\n0.png,,a lake\n")
    found = {one.key: one for one in read_mask_table(table, "train", WHOLE, 0.0)}
    assert len(found) == 3
    shown = found["table/0.png/the bright square"].read()
    assert [int(mask.sum()) for mask in shown.objects] == [18 * 18, 100]
    assert found["table/0.png/a lake"].read().objects == ()


def test_a_table_may_say_its_splits_and_its_labels(tmp_path):
    save(picture_of(square(1, 1, 9)), tmp_path / "a.png")
    save(square(1, 1, 9), tmp_path / "m.png")
    table = tmp_path / "t.csv"
    table.write_text("image,mask,phrase,label,split\na.png,m.png,x,tank,val\na.png,m.png,y,,train\n")
    (one,) = read_mask_table(table, "val", WHOLE, 0.5)
    assert (one.phrase, one.label) == ("x", "tank")
    assert [other.label for other in read_mask_table(table, "train", WHOLE, 0.5)] == ["y"]
    assert read_mask_table(table, "test", WHOLE, 0.5) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [("image,phrase\na,b\n", "no column 'mask'"), ("", "no column 'image'"), ("image,mask,phrase\na\n", "Row 2 of")],
)
def test_a_table_that_lacks_something_is_refused(tmp_path, text, problem):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(SceneError, match=problem):
        read_mask_table(tmp_path / "t.csv", "train", WHOLE, 0.1)


def test_a_mask_of_another_picture_is_refused(tmp_path):
    save(picture_of(square(1, 1, 9)), tmp_path / "a.png")
    save(np.ones((5, 5), np.uint8), tmp_path / "m.png")
    (tmp_path / "t.csv").write_text("image,mask,phrase\na.png,m.png,x\n")
    (one,) = read_mask_table(tmp_path / "t.csv", "train", WHOLE, 0.0)
    with pytest.raises(SceneError, match=r"m\.png has 5 x 5 pixels, its picture 96 x 64"):
        one.read()


@pytest.fixture
def polygons(tmp_path):
    """A raster of 128 x 96 pixels of 1 m, with two ships, a pier over two views, and a polygon without words."""
    raster = write_raster(tmp_path / "scene.tif", texture(96, 128))
    with_corner = Scene(str(raster))
    shapes = [(5, 5, 15, 12), (20, 30, 30, 40), (50, 60, 90, 70), (100, 10, 110, 20)]
    words = ["a ship", "a ship", "a pier", None]
    with rasterio.open(raster) as file:
        left, top, crs = file.transform.c, file.transform.f, file.crs.to_wkt()
    boxes = [shapely.box(left + a, top - d, left + c, top - b) for a, b, c, d in shapes]
    layer = tmp_path / "layer.gpkg"
    pyogrio.raw.write(
        layer, shapely.to_wkb(boxes), [np.array(words, object)], ["what"], geometry_type="Polygon", crs=crs
    )
    return PolygonData(with_corner, layer, "what", 64, held_out=0.0, empty=0.0)


def test_polygons_are_asked_for_view_by_view(polygons):
    found = {one.key: one.read() for one in read_polygons(polygons, "train")}
    assert {key: [int(mask.sum()) for mask in shown.objects] for key, shown in found.items()} == {
        "polygons/scene.tif/0/0/a ship": [70, 100],
        "polygons/scene.tif/0/0/a pier": [14 * 4],
        "polygons/scene.tif/64/0/a pier": [26 * 4],
        "polygons/scene.tif/0/64/a pier": [14 * 6],
        "polygons/scene.tif/64/64/a pier": [26 * 6],
    }
    ships = found["polygons/scene.tif/0/0/a ship"]
    assert ships.objects[0][5:12, 5:15].all()
    assert ships.rgb.shape == (64, 64, 3)


def test_a_view_may_be_asked_for_what_is_not_there(polygons):
    everywhere = read_polygons(replace(polygons, empty=1.0), "train")
    empty = [one for one in everywhere if not one.read().objects]
    assert {one.key.rsplit("/", 1)[1] for one in empty} <= {"a ship", "a pier"}
    assert len(empty) == 3  # the first view has both
    assert len(read_polygons(replace(polygons, empty=0.0), "train")) == len(everywhere) - 3


def test_polygons_in_another_crs_are_brought_to_the_rasters(polygons, tmp_path):
    meta, _, wkb, values = pyogrio.raw.read(polygons.layer)
    to_degrees = Transformer.from_crs(meta["crs"], "EPSG:4326", always_xy=True)
    moved = shapely.transform(shapely.from_wkb(wkb), lambda xy: np.column_stack(to_degrees.transform(*xy.T)))
    other = tmp_path / "degrees.gpkg"
    pyogrio.raw.write(other, shapely.to_wkb(moved), values, ["what"], geometry_type="Polygon", crs="EPSG:4326")
    here, there = (read_polygons(data, "train") for data in (polygons, replace(polygons, layer=other)))
    assert [one.key for one in here] == [one.key for one in there]
    for one, same in zip(here, there):
        assert np.count_nonzero(one.read().target ^ same.read().target) <= 4


def test_a_layer_without_the_column_is_refused(polygons):
    with pytest.raises(SceneError, match="no column 'name'"):
        read_polygons(replace(polygons, column="name"), "train")
    with pytest.raises(SceneError, match="cannot be read"):
        read_polygons(replace(polygons, layer=polygons.layer.with_name("none.gpkg")), "train")


def test_splits_share_nothing_and_are_all_there_is():
    keys = [f"picture {number}" for number in range(1000)]
    chosen = {split: in_split(keys, split, 0.1) for split in ("train", "val", "test")}
    assert all(sum(flags) == 1 for flags in zip(*chosen.values()))
    assert 60 < sum(chosen["val"]) < 140
    assert 60 < sum(chosen["test"]) < 140


def test_a_large_picture_is_made_smaller_with_its_masks():
    mask, dot = np.zeros((2, 100, 400), bool)
    mask[20:60, 80:240], dot[3, 3] = True, True
    shown = coarser(Shown(picture_of(mask), (mask, dot)), 100)
    assert shown.rgb.shape == (25, 100, 3)
    kept, seen = shown.objects
    assert np.array_equal(kept, mask[2::4, 2::4])
    assert np.argwhere(seen).tolist() == [[0, 0]]  # no nearest pixel is on the dot, and it stays all the same
    assert coarser(Shown(picture_of(mask), (mask,)), 400).rgb.shape == (100, 400, 3)


def test_regions_are_one_thing_or_things_of_their_own():
    mask = square(30, 20, 20) | square(2, 2, 5) | square(80, 50, 2)
    assert [int(one.sum()) for one in things_in(mask, WHOLE)] == [429]
    assert [int(one.sum()) for one in things_in(mask, APART)] == [400, 25]
    assert [int(one.sum()) for one in things_in(square(80, 50, 2), APART)] == [4]
    touching = square(10, 10, 5) | square(15, 15, 5)
    assert [int(one.sum()) for one in things_in(touching, APART)] == [50]
    assert things_in(square(0, 0, 0), APART) == things_in(square(0, 0, 0), WHOLE) == ()
