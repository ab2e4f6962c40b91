"""Finished results become layers of the project."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from qgis.core import (
    QgsLayerMetadata,
    QgsLayerTreeLayer,
    QgsMapLayer,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)

from rs_textseg_plugin.contract.errors import OutputError
from rs_textseg_plugin.contract.events import Finished
from rs_textseg_plugin.contract.query import ClassSpec
from rs_textseg_plugin.contract.recipe import find_pipeline
from rs_textseg_plugin.contract.request import Request
from rs_textseg_plugin.contract.version import VERSION
from rs_textseg_plugin.host.layers.style import style_by_class, style_raster
from rs_textseg_plugin.host.output_paths import RASTER_SUFFIXES
from rs_textseg_plugin.host.translate import tr

GROUP_NAME = "RS TextSeg"
REQUEST_PROPERTY = "rs_textseg/request"
_LONGEST_NAME = 40


def add_result(project: QgsProject, finished: Finished, request: Request) -> QgsVectorLayer:
    """Load a result into the project, in the group "RS TextSeg" at the top of the layer tree.

    The layer is named after the query, coloured by class, and carries the request as a custom property and in
    its metadata. Nothing else of the project changes.

    Raises:
        OutputError: the file cannot be loaded.
    """
    layer = QgsVectorLayer(_source(finished.path), _layer_name(finished, request), "ogr")
    if not layer.isValid():
        raise OutputError(
            f"The result {finished.path!r} was written and cannot be loaded: add it from the data source manager."
        )
    style_by_class(layer, result_classes(request))
    _add(project, layer, finished, request)
    return layer


def add_rasters(project: QgsProject, finished: Finished, request: Request) -> list[QgsRasterLayer]:
    """Load the rasters of a result into the same group, below layers that are there; of them only heat is visible.

    Raises:
        OutputError: a file cannot be loaded.
    """
    layers = []
    for kind, path in written_rasters(finished).items():
        layer = QgsRasterLayer(path, f"{raster_title(kind, request)}: {_layer_name(finished, request)}")
        if not layer.isValid():
            raise OutputError(f"The raster {path!r} was written and cannot be loaded: add it from the browser panel.")
        style_raster(layer, kind, request.query.output_classes)
        node = _add(project, layer, finished, request, position=-1)
        node.setItemVisibilityChecked(is_heat(request))
        node.setExpanded(False)
        layers.append(layer)
    return layers


def result_classes(request: Request) -> tuple[ClassSpec, ...]:
    """Return the classes that a result can hold: of a phrase the first one; the others say where that lies."""
    classes = request.query.output_classes
    return classes[:1] if request.query.phrase else classes


def written_rasters(finished: Finished) -> dict[str, str]:
    """Return the paths of a result's rasters by their name in `Output`."""
    return {name: path for name, path in ((name, getattr(finished, name)) for name in RASTER_SUFFIXES) if path}


def raster_title(kind: str, request: Request) -> str:
    """Return the title of the raster that has this name in `Output`."""
    titles = {
        "label_raster": tr("Labels"),
        "score_raster": tr("Heat") if is_heat(request) else tr("Scores"),
        "class_scores": tr("Scores by class"),
    }
    return titles[kind]


def is_heat(request: Request) -> bool:
    """Whether the result is a map of scores without objects."""
    info = find_pipeline(request.recipe.pipeline)
    return info.makes_heat(info.read_parameters(request.recipe.chosen_parameters))


def write_provenance(layer: QgsMapLayer, finished: Finished, request: Request) -> None:
    """Write how a result came about into the layer's custom property and metadata."""
    request_json = json.dumps(request.to_be_kept(), ensure_ascii=False)
    layer.setCustomProperty(REQUEST_PROPERTY, request_json)
    metadata = QgsLayerMetadata()
    metadata.setTitle(layer.name())
    metadata.setAbstract(_abstract(finished, request))
    metadata.addHistoryItem(f"{datetime.now().isoformat(timespec='seconds')} RS TextSeg {VERSION}: {request_json}")
    layer.setMetadata(metadata)


def _source(path: str) -> str:
    return f"{path}|layername=segments" if Path(path).suffix.lower() == ".gpkg" else path


def _layer_name(finished: Finished, request: Request) -> str:
    text = " ".join(request.query.text.split())
    short = text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1].rstrip(" ,;|") + "…"
    return f"{short} {tr('(demo models)')}" if finished.is_demo else short


def _abstract(finished: Finished, request: Request) -> str:
    lines = [
        tr("Segmented by text: {}").format(request.query.text),
        tr("Raster: {}").format(request.scene.path),
        tr("Method: {}, models: {}").format(request.recipe.pipeline, ", ".join(finished.models)),
        tr("Device: {}, duration: {} s").format(finished.device, round(finished.seconds)),
        tr("Made with demo models, which only show how the product works.") if finished.is_demo else "",
        *finished.notes,
    ]
    return "\n".join(filter(None, lines))


def _add(
    project: QgsProject, layer: QgsMapLayer, finished: Finished, request: Request, position: int = 0
) -> QgsLayerTreeLayer:
    write_provenance(layer, finished, request)
    return add_to_group(project, layer, position)


def add_to_group(project: QgsProject, layer: QgsMapLayer, position: int = 0) -> QgsLayerTreeLayer:
    """Add a layer to the project, in the plugin's group at the top of the layer tree."""
    project.addMapLayer(layer, False)
    root = project.layerTreeRoot()
    group = root.findGroup(GROUP_NAME)
    if group is not None:
        return group.insertLayer(position, layer)
    group = root.insertGroup(0, GROUP_NAME)
    node = group.insertLayer(0, layer)
    # The layer panel shows a new group collapsed although the group says that it is not, and listens to changes only.
    group.setExpanded(False)
    group.setExpanded(True)
    return node
