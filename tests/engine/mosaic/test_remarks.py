from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from planted import Truth, answer_for, class_map_of, components_of, labelled, legend

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.answers.answer import Answer, PackedMask, RemarkMap, Segment
from rs_textseg_plugin.engine.mosaic.remarks import RemarkCounts, RemarkTable

NAMES = legend()


def test_texts_are_numbered_as_they_come_and_the_empty_text_is_number_zero():
    table = RemarkTable()
    assert table.is_empty
    assert table.numbers_of(["b", "", "a", "b"]).tolist() == [1, 0, 2, 1]
    assert table.texts == ("", "b", "a")
    assert not table.is_empty


def test_what_segments_and_maps_say_is_taken():
    table = RemarkTable()
    mask = PackedMask.of(np.ones((2, 2), bool))
    segment = Segment(Window(0, 0, 2, 2), mask, 0, np.zeros(3, np.float32))
    table.take(Answer((segment,), None))
    assert table.is_empty
    remarks = RemarkMap(np.zeros((2, 2), np.uint8), ("", "of a map"))
    table.take(Answer((replace(segment, remark="of a segment"),), None, (), remarks))
    assert table.texts == ("", "of a segment", "of a map")


@pytest.mark.parametrize("seed", range(5))
def test_counts_over_several_cores_are_those_of_a_loop_over_all_pixels(seed):
    rng = np.random.default_rng(seed)
    final = np.array([0, *rng.integers(1, 6, 11)])
    texts = ("", "a", "b", "c", "d")
    counts, pixels = RemarkCounts(), Counter()
    for _ in range(4):
        numbers = rng.integers(0, len(final), (9, 7)) * (rng.random((9, 7)) > 0.3)
        remarks = rng.integers(0, len(texts), (9, 7)).astype(np.int32)
        counts.add(numbers, remarks)
        pixels.update((int(final[n]), int(r)) for n, r in zip(numbers.ravel(), remarks.ravel()) if n > 0 and r > 0)
    found = counts.resolve(final, 8, texts)
    for component in range(8):
        own = {text: count for (number, text), count in pixels.items() if number == component}
        expected = min(own, key=lambda text: (-own[text], text)) if own else 0
        assert found[component] == texts[expected]


def test_an_empty_remark_never_covers_another_one():
    counts = RemarkCounts()
    counts.add(np.array([[1, 1, 1, 2]]), np.array([[0, 0, 1, 0]], np.int32))
    assert counts.resolve(np.arange(3), 3, ("", "seen")).tolist() == ["", "seen", ""]


def two_squares() -> Truth:
    classes = np.full((100, 300), -1)
    classes[20:80, 20:200], classes[30:60, 220:280] = 0, 1
    return Truth(classes, classes + 1)


def saying(truth, remark_of):
    """Answers whose segments carry a remark for each tile and class; there is no class map."""

    def answer(tile):
        exact = answer_for(tile, truth, NAMES, with_map=False)
        said = (replace(one, remark=remark_of(tile, one.label)) for one in exact.segments)
        return replace(exact, segments=tuple(said))

    return answer


@pytest.mark.parametrize("instances", [True, False])
def test_an_object_of_several_tiles_has_the_remark_of_its_largest_masks(tmp_path, instances):
    truth = two_squares()
    answer = saying(truth, lambda tile, label: "" if label else ("left" if tile.col_index == 0 else "right"))
    components = labelled(truth, tmp_path, 128, 64, instances, answer=answer).components
    assert dict(zip(components.labels.tolist(), components.remarks)) == {0: "", 1: "right", 2: ""}


def test_a_region_of_several_objects_has_the_remark_that_covers_most_of_it(tmp_path):
    classes = np.full((100, 200), -1)
    classes[20:80, 20:180] = 0
    objects = np.zeros_like(classes)
    objects[20:80, 20:60], objects[20:80, 60:110], objects[20:80, 110:180] = 1, 2, 3
    names = {20: "west", 60: "east", 110: "west"}  # 110 columns against 50

    def answer(tile):
        exact = answer_for(tile, Truth(classes, objects), NAMES, with_map=False)
        said = (replace(one, remark=names[one.window.col]) for one in exact.segments)
        return replace(exact, segments=tuple(said))

    regions = labelled(Truth(classes, objects), tmp_path / "r", 256, 0, False, answer=answer).components
    assert regions.remarks.tolist() == ["", "west"]
    instances = labelled(Truth(classes, objects), tmp_path / "i", 256, 0, True, answer=answer).components
    assert sorted(instances.remarks) == ["", "east", "west", "west"]


def test_pixels_of_a_map_have_the_remark_of_their_own_tile_and_else_that_of_a_neighbour(tmp_path):
    classes = np.full((64, 160), -1)
    classes[10:50, 20:140] = 0
    truth = Truth(classes, classes + 1)

    def answer(tile):
        part = classes[tile.window.slices]
        numbers = np.where(part == 0, tile.col_index, 9).astype(np.uint8)
        texts = ("", "first", "second", *["wrong"] * 6, "nothing is here")
        return Answer((), class_map_of(part, NAMES.size), (), RemarkMap(numbers, texts))

    # Three tiles of 64 px every 48 px; their cores end at columns 56 and 104. The first one says nothing.
    scene = labelled(truth, tmp_path, 64, 16, answer=answer)
    assert scene.components.remarks.tolist() == ["", "first"]  # columns 48 to 104, against 104 to 140
    assert components_of(scene).max() == 1


def test_without_a_remark_there_is_none_of_any_component(tmp_path):
    assert labelled(two_squares(), tmp_path, 128, 64).components.remarks is None
