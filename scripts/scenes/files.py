"""Writes drawn scenes as the files that the plugin reads, with the truth beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.transform import from_origin

from rs_textseg_plugin.contract.colours import pick_colour
from rs_textseg_plugin.contract.grid import Transform, Window
from rs_textseg_plugin.engine.results.trace import to_map, trace
from scenes.drawing import DrawnScene, number_objects
from scenes.words import THINGS, UNLABELLED

EPSG = 32632
CORNER_X_M, CORNER_Y_M = 512_000.0, 5_403_000.0  # upper left
PICTURE, LABELS, TRUTH = "scene.tif", "labels.tif", "truth.gpkg"
_JPEG_QUALITY = 90
DARKEST, BRIGHTEST = 180, 2900  # of a 16-bit picture: about what a sensor of 12 bits gives


def write(folder: Path, scene: DrawnScene, collar: bool = False, sixteen_bit: bool = False) -> Path:
    """Write ``scene.tif``, ``labels.tif`` and ``truth.gpkg`` (layer and field: ``truth``, ``class``).

    Args:
        folder: existing or new.
        scene: what to write.
        collar: surround the picture with black that is declared nowhere.
        sixteen_bit: write the picture as uint16, about 180 to 2900.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if collar:
        scene = with_collar(scene)
    values = to_sixteen_bits(scene) if sixteen_bit else scene.rgb
    write_picture(folder / PICTURE, values, scene.ground_resolution_m)
    _write_labels(folder / LABELS, scene)
    _write_truth(folder / TRUTH, scene)
    return folder


def with_collar(scene: DrawnScene) -> DrawnScene:
    """Return the scene as a turned rectangle within black, as satellite images come; in the black nothing is true."""
    rng = np.random.default_rng((scene.seed, scene.rgb.shape[0]))
    angle, half = rng.uniform(0.07, 0.2) * rng.choice([-1, 1]), (scene.rgb.shape[0] - 1) / 2
    row, col = np.mgrid[: scene.rgb.shape[0], : scene.rgb.shape[1]] - half
    u, v = col * np.cos(angle) + row * np.sin(angle), row * np.cos(angle) - col * np.sin(angle)
    inside = np.maximum(np.abs(u), np.abs(v)) < 0.9 * half
    classes = np.where(inside, scene.classes, UNLABELLED).astype(np.uint8)
    counted = [value for value, name in enumerate(scene.class_names, start=1) if name in THINGS]
    things = np.where(np.isin(classes, counted), scene.objects, 0).astype(np.int32)
    rgb = np.where(inside[..., None], np.maximum(scene.rgb, 1), 0).astype(np.uint8)
    return replace(scene, rgb=rgb, classes=classes, objects=number_objects(classes, things))


def to_sixteen_bits(scene: DrawnScene) -> NDArray[np.uint16]:
    """Return the picture ``(H, W, 3)`` as a sensor's numbers; black stays 0, and no step of 8 bits shows."""
    rng = np.random.default_rng(scene.seed)
    share = (scene.rgb + rng.uniform(-0.5, 0.5, scene.rgb.shape)).clip(0, 255) / 255
    numbers = DARKEST + (BRIGHTEST - DARKEST) * share**1.3
    black = (scene.rgb == 0).all(axis=-1, keepdims=True)
    return np.where(black, 0, numbers.round()).astype(np.uint16)


def write_picture(path: Path, values: NDArray[np.uint8] | NDArray[np.uint16], pixel_m: float) -> Path:
    """Write a picture ``(H, W, 3)`` as a tiled GeoTIFF with red, green and blue, without any nodata; return `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = _profile(values, pixel_m) | {"count": 3, "predictor": 2, "photometric": "rgb", "interleave": "pixel"}
    with rasterio.open(path, "w", **profile) as file:
        file.write(np.moveaxis(values, -1, 0))
    return path


def write_photograph(path: Path, rgb: NDArray[np.uint8], pixel_m: float) -> Path:
    """Write a picture ``(H, W, 3)`` as `write_picture` does, packed as a JPEG: a tenth of the size, hardly changed."""
    profile = _profile(rgb, pixel_m) | {"count": 3, "compress": "jpeg", "photometric": "ycbcr", "interleave": "pixel"}
    with rasterio.open(path, "w", **profile, jpeg_quality=_JPEG_QUALITY) as file:
        file.write(np.moveaxis(rgb, -1, 0))
    return path


def _profile(values: NDArray[Any], pixel_m: float) -> dict[str, Any]:
    return {
        "driver": "GTiff", "height": values.shape[0], "width": values.shape[1], "dtype": str(values.dtype),
        "crs": f"EPSG:{EPSG}", "transform": from_origin(CORNER_X_M, CORNER_Y_M, pixel_m, pixel_m),
        "tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate",
    }  # fmt: skip


def class_colours(names: tuple[str, ...]) -> dict[int, tuple[int, int, int, int]]:
    """Return a colour table: the value of each class, and the colour that the plugin's maps give it."""
    colours: list[str] = []
    for name in names:
        colours.append(pick_colour([name], colours))
    rgb = {value: bytes.fromhex(colour[1:]) for value, colour in enumerate(colours, start=1)}
    return {UNLABELLED: (0, 0, 0, 0), **{value: (red, green, blue, 255) for value, (red, green, blue) in rgb.items()}}


def _write_labels(path: Path, scene: DrawnScene) -> None:
    profile = _profile(scene.classes, scene.ground_resolution_m) | {"count": 1, "nodata": UNLABELLED}
    with rasterio.open(path, "w", **profile) as file:
        file.update_tags(**{f"CLASS_{value}": name for value, name in enumerate(scene.class_names, start=1)})
        file.write_colormap(1, class_colours(scene.class_names))
        file.write(scene.classes, 1)


def _write_truth(path: Path, scene: DrawnScene) -> None:
    """Write one feature an object, along the edges of its pixels."""
    height, width = scene.objects.shape
    numbers, polygons = trace(scene.objects, Window(0, 0, width, height), tolerance_px=0)
    pixel_m = scene.ground_resolution_m
    polygons = to_map(polygons, Transform(pixel_m, 0, CORNER_X_M, 0, -pixel_m, CORNER_Y_M))
    objects, first_px = np.unique(scene.objects, return_index=True)
    names = {number: scene.class_names[scene.classes.flat[px] - 1] for number, px in zip(objects, first_px) if number}
    whole = [shapely.MultiPolygon(shapely.get_parts(polygons[numbers == number]).tolist()) for number in names]
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(np.array(whole, dtype=object)),
        field_data=[np.array(list(names.values()), dtype=object), np.array(list(names), np.int32)],
        fields=np.array(["class", "object"], dtype=object),
        layer="truth",
        driver="GPKG",
        geometry_type="MultiPolygon",
        crs=f"EPSG:{EPSG}",
    )
