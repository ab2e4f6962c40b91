"""An answer about a part of a tile becomes one about the tile."""

from __future__ import annotations

import numpy as np
import pytest
from planted import Truth, class_map_of, legend, segments_of

from rs_textseg_plugin.contract.grid import Tile, Window
from rs_textseg_plugin.engine.answers.answer import Answer, PackedMask, RemarkMap
from rs_textseg_plugin.engine.answers.placed import PlacedMap, cut_answer, place_answer, window_of_data
from rs_textseg_plugin.engine.mosaic.store import StoredTile, TileStore

PART, SIZE = Window(30, 20, 50, 40), (90, 100)


def part_answer() -> Answer:
    classes = np.random.default_rng(3).integers(0, 3, (PART.height, PART.width))
    objects = np.zeros_like(classes)
    objects[5:15, 8:20] = 1
    remarks = RemarkMap(classes.astype(np.uint8), ("", "a", "b"))
    truth = Truth(classes, objects)
    return Answer(segments_of(truth, legend().size), class_map_of(classes, legend().size), (1, -1), remarks)


def test_everything_lies_where_the_part_lies():
    inner = part_answer()
    placed = place_answer(inner, PART, SIZE)
    assert [segment.window for segment in placed.segments] == [Window(38, 25, 12, 10)]
    assert placed.merged == inner.merged
    whole = placed.class_map.probabilities(legend(), Window(0, 0, 100, 90))
    own = inner.class_map.probabilities(legend(), Window(0, 0, 50, 40))
    np.testing.assert_array_equal(whole[(slice(None), *PART.slices)], own)
    assert whole.sum() == own.sum()  # nothing around it
    assert placed.remarks.numbers.shape == SIZE
    np.testing.assert_array_equal(placed.remarks.numbers[PART.slices], inner.remarks.numbers)


def test_a_window_that_the_part_does_not_touch_has_no_class():
    placed = place_answer(part_answer(), PART, SIZE)
    assert not placed.class_map.probabilities(legend(), Window(0, 0, 30, 20)).any()


def test_an_answer_about_all_of_a_tile_stays_as_it_is():
    answer = part_answer()
    assert place_answer(answer, Window(0, 0, 50, 40), (40, 50)) is answer


def test_a_placed_map_is_the_same_after_it_was_stored(tmp_path, monkeypatch):
    monkeypatch.setattr("rs_textseg_plugin.engine.mosaic.store._KEPT", 0)
    tile = Tile(0, 0, Window(0, 0, 100, 90), Window(0, 0, 100, 90))
    answer = place_answer(part_answer(), PART, SIZE)
    store = TileStore(tmp_path)
    store.put(StoredTile(tile, answer, PackedMask.of(np.ones(SIZE, bool))))
    found = store.get((0, 0)).answer
    assert isinstance(found.class_map, PlacedMap)
    window = Window(25, 10, 40, 60)
    np.testing.assert_array_equal(
        found.class_map.probabilities(legend(), window), answer.class_map.probabilities(legend(), window)
    )


def test_the_window_of_data_is_the_smallest_one():
    valid = np.zeros((20, 30), bool)
    valid[4, 7] = valid[9, 11] = True
    assert window_of_data(valid) == Window(7, 4, 5, 6)
    assert window_of_data(np.ones((20, 30), bool)) == Window(0, 0, 30, 20)


@pytest.mark.parametrize("holds_data", [Window(0, 0, 100, 90), PART])
def test_a_picture_s_answer_is_cut_into_those_of_its_tiles_which_can_be_kept_on_disk(holds_data, tmp_path):
    classes = np.random.default_rng(4).integers(0, 3, (holds_data.height, holds_data.width))
    whole = place_answer(Answer((), class_map_of(classes, legend().size)), holds_data, SIZE)
    expected = whole.class_map.probabilities(legend(), Window(0, 0, 100, 90))
    store = TileStore(tmp_path)
    for number, part in enumerate((Window(0, 0, 60, 50), Window(60, 0, 40, 50), Window(25, 30, 40, 60))):
        tile = Tile(number, 0, part, part)
        store.put(
            StoredTile(tile, cut_answer(whole, part, SIZE), PackedMask.of(np.ones((part.height, part.width), bool)))
        )
        store._recent.clear()  # so that it is read from the disk
        kept = store.get(tile.index).answer
        found = kept.class_map.probabilities(legend(), Window(0, 0, part.width, part.height))
        np.testing.assert_array_equal(found, expected[(slice(None), *part.slices)])


def test_an_answer_with_objects_is_not_cut():
    with pytest.raises(ValueError, match="Only an answer that is a map"):
        cut_answer(part_answer(), PART, SIZE)
