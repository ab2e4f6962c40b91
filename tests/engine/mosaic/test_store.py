from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pytest
from planted import class_map_of, legend
from small_disk import files_end_at

from rs_textseg_plugin.contract.errors import EngineError
from rs_textseg_plugin.contract.grid import Tile, TileGrid, Window
from rs_textseg_plugin.engine.answers.answer import Answer, PackedMask, RemarkMap, Segment
from rs_textseg_plugin.engine.answers.class_map import ClassMap
from rs_textseg_plugin.engine.answers.soft_vote import SoftVote, Vote
from rs_textseg_plugin.engine.mosaic.store import StoredTile, TileStore

NAMES = legend("building, road, water")
SIDE = 24
WHOLE = Window(0, 0, SIDE, SIDE)
GRID = TileGrid(20 * SIDE, SIDE, SIDE, 0)


def masks(count: int, seed: int) -> list[tuple[Window, PackedMask, np.ndarray]]:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 9, (count, 2))
    return [
        (Window(i, 2 * i, int(w), int(h)), PackedMask.of(rng.random((h, w)) > 0.4), rng.random(3).astype(np.float32))
        for i, (w, h) in enumerate(sizes)
    ]


def dense() -> ClassMap:
    logits = np.random.default_rng(5).normal(size=(2, 3, 3, 3)).astype(np.float16)
    windows = (Window(0, 0, 16, 20), Window(8, 0, 16, 20))
    return ClassMap(logits, windows, Window(-1, -2, 20, 24), (20, 24), (SIDE, SIDE), 8)


def drawn(count: int, keeps_uncovered: bool) -> SoftVote:
    votes = tuple(Vote(*one, 0.1 * number) for number, one in enumerate(masks(count, 7)))
    return SoftVote(dense(), votes, 2.5, keeps_uncovered)


MAPS = {
    "none": lambda: None,
    "dense": dense,
    "soft": lambda: drawn(6, True),
    "soft, masks only": lambda: drawn(6, False),
    "soft without masks": lambda: drawn(0, True),
}


@pytest.mark.parametrize("segments", [0, 5])
@pytest.mark.parametrize("kind", MAPS)
def test_an_answer_comes_back_from_disk_as_it_was_put(tmp_path, kind, segments):
    store = TileStore(tmp_path)
    valid = np.random.default_rng(1).random((SIDE, SIDE)) > 0.2
    first, *others = GRID.tiles(Window(0, 0, 20 * SIDE, SIDE))
    objects = tuple(Segment(window, mask, i - 1, scores) for i, (window, mask, scores) in enumerate(masks(segments, 2)))
    put = StoredTile(first, Answer(objects, MAPS[kind](), (2, -1)), PackedMask.of(valid))
    store.put(put)
    for tile in others:  # until the first one is no longer in memory
        store.put(StoredTile(tile, Answer((), None), PackedMask.of(valid)))
    got = store.get(first.index)
    assert got is not put
    np.testing.assert_array_equal(got.valid.unpack(), valid)
    assert [(s.window, s.label) for s in got.answer.segments] == [(s.window, s.label) for s in objects]
    for ours, theirs in zip(got.answer.segments, objects):
        np.testing.assert_array_equal(ours.mask.unpack(), theirs.mask.unpack())
        np.testing.assert_array_equal(ours.scores, theirs.scores)
    assert got.answer.merged == (2, -1)
    assert type(got.answer.class_map) is type(put.answer.class_map)
    if put.answer.class_map is not None:
        np.testing.assert_array_equal(
            got.answer.class_map.probabilities(NAMES, WHOLE), put.answer.class_map.probabilities(NAMES, WHOLE)
        )


@pytest.mark.parametrize("kind", ["none", "dense"])
def test_remarks_come_back_from_disk_and_take_no_room_where_there_are_none(tmp_path, kind):
    store = TileStore(tmp_path)
    valid = PackedMask.of(np.ones((SIDE, SIDE), bool))
    first, second, *others = GRID.tiles(Window(0, 0, 20 * SIDE, SIDE))
    texts = ["Größe 3, 'sure'", "", "x" * 3000]
    said = tuple(Segment(*one[:2], 0, one[2], text) for one, text in zip(masks(3, 2), texts))
    numbers = np.random.default_rng(3).integers(0, 3, (SIDE, SIDE)).astype(np.uint16)
    store.put(StoredTile(first, Answer(said, MAPS[kind](), (), RemarkMap(numbers, ("", "boxes", "ü"))), valid))
    silent = tuple(replace(segment, remark="") for segment in said)
    store.put(StoredTile(second, Answer(silent, MAPS[kind]()), valid))
    for tile in others:  # until the first ones are no longer in memory
        store.put(StoredTile(tile, Answer((), None), valid))
    got = store.get(first.index).answer
    assert [segment.remark for segment in got.segments] == texts
    np.testing.assert_array_equal(got.remarks.numbers, numbers)
    assert got.remarks.texts == ("", "boxes", "ü")
    silent_answer = store.get(second.index).answer
    assert silent_answer.remarks is None
    assert {segment.remark for segment in silent_answer.segments} == {""}
    with np.load(tmp_path / "tile_0_1.npz") as arrays:
        assert not [name for name in arrays if "remark" in name]


def test_a_map_that_the_store_does_not_know_is_refused(tmp_path):
    class Other:
        def probabilities(self, names, part):
            return class_map_of(np.zeros((SIDE, SIDE)), 3).probabilities(names, part)

    tile = next(iter(GRID.tiles(WHOLE)))
    with pytest.raises(TypeError, match="Other cannot be stored"):
        TileStore(tmp_path).put(StoredTile(tile, Answer((), Other()), PackedMask.of(np.ones((SIDE, SIDE), bool))))


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")  # outside of pytest a traceback
def test_a_disk_that_is_full_is_told_in_one_sentence_and_nothing_else(tmp_path):
    tile = Tile(0, 0, Window(0, 0, 300, 200), Window(0, 0, 300, 200))
    valid = np.random.default_rng(0).random((200, 300)) < 0.5
    store = TileStore(tmp_path)
    with files_end_at(1000), pytest.raises(EngineError, match="The disk is full"):
        store.put(StoredTile(tile, Answer((), None), PackedMask.of(valid)))
    gc.collect()
    assert (0, 0) not in store
