"""What is drawn last on a pixel decides what it is; shadows fall away from the sun."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scenes.buildings import draw_roof
from scenes.camera import Weather, light
from scenes.canvas import WHOLE, Canvas
from scenes.curves import Curve, Lot
from scenes.lots import draw_pool
from scenes.roads import Street, drive, pave
from scenes.vehicles import draw_car, draw_ship
from scenes.words import CLASSES, PAVED


@pytest.fixture
def canvas() -> Canvas:
    blank = Canvas(128, seed=0)
    blank.paint(WHOLE, np.ones((128, 128), bool), (0.4, 0.5, 0.3), 0, blank.label("grass"))
    return blank


def test_a_car_on_a_road_is_a_car_and_the_road_around_it_stays(canvas):
    pave(canvas, [Street(Curve(16, 16, 0.3))])
    assert canvas.class_at(16, 16) == "road"
    draw_car(canvas, 16, 16, 0.3)
    assert canvas.class_at(16, 16) == "car"
    assert canvas.class_at(*Curve(16, 16, 0.3).at(5)[:2]) == "road"
    cars = canvas.classes == CLASSES.index("car") + 1
    assert np.unique(canvas.numbers[cars]).size == 1


def test_a_panel_on_a_roof_is_a_panel_and_the_roof_around_it_a_building(canvas):
    draw_roof(canvas, 16, 16, 0.5, (14, 10), "gable", panels=1.0)
    found = {CLASSES[value - 1] for value in np.unique(canvas.classes)}
    assert found == {"grass", "building", "solar panel"}
    roof, panels = (canvas.classes == CLASSES.index(word) + 1 for word in ("building", "solar panel"))
    assert (roof | panels).sum() * 0.25**2 == pytest.approx(140, rel=0.03)
    assert 20 < panels.sum() * 0.25**2 < 70


def test_less_than_half_of_a_colour_does_not_change_what_a_pixel_is(canvas):
    canvas.paint(WHOLE, np.full((128, 128), 0.4, np.float32), (1, 0, 0), 0, canvas.label("water"))
    assert canvas.class_at(16, 16) == "grass"
    canvas.paint(WHOLE, np.full((128, 128), 0.6, np.float32), (1, 0, 0), 0, canvas.label("water"))
    assert canvas.class_at(16, 16) == "water"


def test_paving_has_no_class(canvas):
    canvas.paint(WHOLE, np.ones((128, 128), bool), (0.6, 0.6, 0.6), 0, PAVED)
    assert canvas.class_at(16, 16) == ""


def test_the_rim_of_a_pool_is_not_the_pool(canvas):
    draw_pool(canvas, Lot(16, 16, 0.2, 10, 5))
    pool, rim = canvas.classes == CLASSES.index("swimming pool") + 1, canvas.classes == 0
    assert pool[64, 64]
    assert 10 < rim.sum() * 0.25**2 < 25
    assert (pool | rim).sum() * 0.25**2 == pytest.approx(50, rel=0.15)


def test_foam_stays_water(canvas):
    canvas.paint(WHOLE, np.ones((128, 128), bool), (0.1, 0.2, 0.3), 0, canvas.label("water"))
    before = canvas.colour.copy()
    draw_ship(canvas, 20, 16, 0.0, 8, speed=1.0)
    brighter = (canvas.colour - before).mean(axis=-1) > 0.1
    ship = canvas.classes == CLASSES.index("ship") + 1
    assert ship[64, 80]
    assert 10 < ship.sum() * 0.25**2 < 8 * 2.4
    assert (brighter & (canvas.classes == CLASSES.index("water") + 1)).sum() > 100


def test_cars_drive_only_where_there_is_road(canvas):
    street = Street(Curve(16, 16, 0.0))
    drive(canvas, [street], spacing_m=4)
    assert (canvas.classes != CLASSES.index("grass") + 1).sum() == 0
    pave(canvas, [street])
    drive(canvas, [street], spacing_m=4)
    assert (canvas.classes == CLASSES.index("car") + 1).any()


def test_a_shadow_changes_the_picture_and_not_the_truth(canvas):
    before = canvas.classes.copy()
    canvas.height_m[60:64, 60:64] = 8
    lit = light(canvas, Weather(azimuth=math.radians(180)))
    assert lit[45, 62].mean() < 0.6 * lit[80, 62].mean()
    assert np.array_equal(canvas.classes, before)


@pytest.mark.parametrize(("azimuth", "row", "col"), [(90, 64, 50), (180, 50, 64), (270, 64, 78)])
def test_a_shadow_lies_opposite_to_the_sun(canvas, azimuth, row, col):
    canvas.height_m[63:66, 63:66] = 8
    lit = light(canvas, Weather(azimuth=math.radians(azimuth))).mean(axis=-1)
    assert lit[row, col] < 0.7 * lit[128 - row, 128 - col]


def test_a_lower_sun_throws_a_longer_shadow(canvas):
    canvas.height_m[63:66, 63:66] = 8
    dark = [
        (light(canvas, Weather(elevation=math.radians(degrees))).mean(axis=-1) < 0.25).sum() for degrees in (60, 40)
    ]
    assert dark[1] > 1.5 * dark[0] > 0


def test_a_point_of_a_curve_lies_where_the_map_of_distances_says(canvas):
    curve = Curve(10, 20, 0.7, bend_m=3, period_m=60, phase=1)
    along, across = curve.locate(canvas)
    x_m, y_m, _ = curve.at(4.0, 2.0)
    row, col = int(y_m / 0.25), int(x_m / 0.25)
    assert across[row, col] == pytest.approx(2.0, abs=0.3)
    assert along[row, col] == pytest.approx(4.0, abs=0.7)


def test_a_lot_is_free_until_it_is_taken(canvas):
    lot = Lot(16, 16, 0.4, 10, 8)
    assert lot.is_free(canvas)
    lot.take(canvas)
    assert canvas.taken.sum() * 0.25**2 == pytest.approx(80, rel=0.03)
    assert not lot.part(3, 2, 8, 8).is_free(canvas)
    assert not Lot(-90, -90, 0, 10, 10).is_free(canvas)


def test_noise_is_shifted_and_not_repeated(canvas):
    one, other = canvas.noise(1, 10), canvas.noise(1, 10)
    assert not np.array_equal(one, other)
    assert np.allclose(np.sort(one, axis=None), np.sort(other, axis=None))
    assert one.std() == pytest.approx(1, rel=0.01)
