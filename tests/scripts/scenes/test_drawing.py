"""A drawn scene and its truth agree, and the same seed draws them again."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest

from scenes.drawing import DrawnScene, draw, number_objects
from scenes.kinds import KINDS
from scenes.words import CLASSES, THINGS

SIZE_PX = 384


@functools.cache
def scene(seed: int) -> DrawnScene:
    return draw(seed, SIZE_PX)


def pixels_of(drawn: DrawnScene, word: str) -> np.ndarray:
    return drawn.rgb[drawn.classes == CLASSES.index(word) + 1].astype(float)


def colours_of(word: str) -> np.ndarray:
    return np.concatenate([pixels_of(scene(seed), word) for seed in range(10)])


def test_the_same_seed_draws_the_same_scene():
    again = draw(4, SIZE_PX)
    assert np.array_equal(again.rgb, scene(4).rgb)
    assert np.array_equal(again.classes, scene(4).classes)
    assert np.array_equal(again.objects, scene(4).objects)


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_draws_another_place_of_the_same_kind(kind):
    one, other = (draw(seed, 128, kind=kind) for seed in (5, 6))
    assert one.kind == other.kind == kind
    assert (one.classes != other.classes).mean() > 0.2


def test_the_kinds_take_turns():
    assert [draw(seed, 64).kind for seed in range(6)] == [*KINDS, next(iter(KINDS))]


def test_every_class_appears_in_ten_scenes():
    seen = {int(value) for seed in range(10) for value in np.unique(scene(seed).classes)}
    assert seen - {0} == set(range(1, len(CLASSES) + 1))
    assert scene(0).class_names == CLASSES


def test_nearly_everything_has_a_class():
    assert np.mean([(scene(seed).classes == 0).mean() for seed in range(10)]) < 0.08


def test_types_and_shapes_are_as_promised():
    drawn = scene(0)
    assert (drawn.rgb.shape, drawn.rgb.dtype) == ((SIZE_PX, SIZE_PX, 3), np.uint8)
    assert (drawn.classes.shape, drawn.classes.dtype) == ((SIZE_PX, SIZE_PX), np.uint8)
    assert (drawn.objects.shape, drawn.objects.dtype) == ((SIZE_PX, SIZE_PX), np.int32)


@pytest.mark.parametrize("seed", range(5))
def test_objects_are_numbered_without_gaps_and_have_one_class_each(seed):
    drawn = scene(seed)
    numbers = np.unique(drawn.objects)
    assert np.array_equal(numbers, np.arange(numbers[0], numbers[-1] + 1))
    assert np.array_equal(drawn.objects == 0, drawn.classes == 0)
    pairs = np.unique(np.stack([drawn.objects.ravel(), drawn.classes.ravel()]), axis=1)
    assert pairs.shape[1] == len(numbers)


def test_colours_tell_the_classes_apart():
    mean = {word: colours_of(word).mean(axis=0) for word in CLASSES}
    red, green, blue = range(3)
    assert mean["grass"][green] > mean["grass"][red] > mean["grass"][blue]
    assert mean["water"][blue] > mean["water"][red] + 10
    assert mean["swimming pool"][blue] > mean["water"][blue] + 60
    assert mean["bare soil"][red] > mean["bare soil"][green] > mean["bare soil"][blue] + 10
    assert mean["solar panel"][blue] > mean["solar panel"][red] + 20
    assert np.ptp(mean["road"]) < 25
    assert mean["forest"].sum() < mean["grass"].sum() - 20
    assert mean["storage tank"].sum() > mean["bare soil"].sum() + 60


def test_forests_are_rougher_than_grass():
    assert roughness("forest") > 1.5 * roughness("grass") > 1.5 * roughness("water")


def roughness(word: str) -> float:
    """Return how much brightness changes from a pixel of the class to its right neighbour, if that has it too."""
    steps = []
    for seed in range(10):
        of_class = scene(seed).classes == CLASSES.index(word) + 1
        brightness = scene(seed).rgb.mean(axis=-1)
        steps.append(np.abs(np.diff(brightness, axis=1))[of_class[:, 1:] & of_class[:, :-1]])
    return float(np.concatenate(steps).mean())


def test_crops_have_rows_and_grass_has_none():
    assert strongest_wave("cropland") > 2.5 * strongest_wave("grass")


def strongest_wave(word: str) -> float:
    """Return the share of the strongest single wave in the brightness of patches that are all of one class."""
    shares = []
    for seed in range(10):
        of_class = scene(seed).classes == CLASSES.index(word) + 1
        for row, col in itertools.product(range(0, SIZE_PX - 31, 16), repeat=2):
            if of_class[row : row + 32, col : col + 32].all():
                patch = scene(seed).rgb[row : row + 32, col : col + 32].mean(axis=-1)
                waves = np.abs(np.fft.rfft2((patch - patch.mean()) * np.outer(np.hanning(32), np.hanning(32)))) ** 2
                waves[(0, 1, 2, -1, -2), :3] = 0  # light and dark patches
                shares.append(waves.max() / waves.sum())
    return float(np.mean(shares))


def test_a_car_is_one_object_of_the_size_of_a_car():
    cars = [number for seed in range(10) for number in count_pixels(scene(seed), "car")]
    areas_m2 = np.array(cars) * 0.25**2
    assert np.median(areas_m2) == pytest.approx(4.5 * 1.88, rel=0.15)  # trees and the picture's edge hide a few
    assert areas_m2.max() < 5.6 * 2.2


def test_a_forest_is_larger_than_a_tree():
    forests = [number for seed in range(10) for number in count_pixels(scene(seed), "forest")]
    trees = [number for seed in range(10) for number in count_pixels(scene(seed), "tree")]
    assert np.max(forests) * 0.25**2 > 350
    assert np.max(trees) * 0.25**2 < 100


def count_pixels(drawn: DrawnScene, word: str) -> list[int]:
    numbers = drawn.objects[drawn.classes == CLASSES.index(word) + 1]
    return [int(count) for count in np.bincount(numbers) if count]


def test_a_coarser_resolution_shows_more_ground():
    fine, coarse = (draw(3, 256, resolution_m) for resolution_m in (0.25, 0.5))
    assert coarse.ground_resolution_m == 0.5
    sizes_px = [np.median(count_pixels(drawn, "car")) for drawn in (fine, coarse)]
    assert sizes_px[0] / sizes_px[1] == pytest.approx(4, rel=0.3)


def test_things_keep_their_number_where_something_cuts_them_in_two():
    classes = np.array([[1, 9, 1], [1, 9, 1]], np.uint8)
    things = np.array([[7, 8, 7], [7, 8, 7]], np.int32)
    assert number_objects(classes, things).tolist() == [[1, 2, 1], [1, 2, 1]]


def test_regions_that_touch_in_a_corner_are_two():
    classes = np.array([[6, 2], [2, 6], [0, 6]], np.uint8)
    objects = number_objects(classes, np.zeros_like(classes, np.int32))
    assert len(np.unique(objects)) == 5
    assert objects[1, 1] == objects[2, 1] != objects[0, 0]
    assert objects[2, 0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size_px": 32}, "32 pixels is too small"),
        ({"ground_resolution_m": 5.0}, "Pixels of 5.0 m"),
        ({"kind": "moon"}, "'moon': choose one of residential"),
    ],
)
def test_a_scene_that_cannot_be_drawn_is_refused_in_words(arguments, words):
    with pytest.raises(ValueError, match=words):
        draw(**{"seed": 0, "size_px": 64, **arguments})


def test_things_are_classes():
    assert set(CLASSES) >= THINGS
