"""What a vision-language model answered, as layers that the user can edit, and back into a file.

The file is GeoJSON in the raster's CRS: boxes (``kind="box"``) and points (``kind="inside"`` or ``"outside"``), of
which those with the same ``instance`` describe one object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qgis.core import (
    NULL,
    QgsCoordinateReferenceSystem,
    QgsDefaultValue,
    QgsEditorWidgetSetup,
    QgsFeature,
    QgsGeometry,
    QgsPointXY,
    QgsProject,
    QgsVectorLayer,
)

from rs_textseg_plugin.contract.errors import OutputError, QueryError
from rs_textseg_plugin.host.layers.result_layers import add_to_group
from rs_textseg_plugin.host.layers.style import style_boxes, style_points
from rs_textseg_plugin.host.translate import tr

_FIELDS = "field=kind:string&field=instance:integer&field=words:string&field=confidence:double"
_CRS_PROPERTY = "rs_textseg/crs_wkt"  # as it was written: another spelling of it might count as another CRS
_DECIMALS = 12  # of coordinates, which may be degrees
_KINDS = {"inside": "inside", "outside": "outside"}


@dataclass(frozen=True)
class ClickLayers:
    """Ids of the layers with the boxes and the points of one answer."""

    boxes: str
    points: str

    def found_in(self, project: QgsProject) -> list[QgsVectorLayer]:
        """Return the layers of the answer that are still in the project."""
        layers = (project.mapLayer(layer_id) for layer_id in (self.boxes, self.points))
        return [layer for layer in layers if layer is not None]


def read_answers(path: str) -> list[str]:
    """Return the model's words and confidence for each object, in the order of its answer.

    Raises:
        QueryError: the file cannot be read.
    """
    answers: dict[Any, str] = {}
    for feature in _load(path)["features"]:
        properties = feature["properties"]
        if properties.get("instance") not in answers:
            confidence = properties.get("confidence")
            percent = f" ({round(100 * confidence)} %)" if isinstance(confidence, (int, float)) else ""
            answers[properties.get("instance")] = f"{properties.get('words') or tr('without words')}{percent}"
    return list(answers.values())


def add_click_layers(project: QgsProject, path: str, question: str) -> ClickLayers:
    """Load boxes and points as temporary layers on top of the plugin's group.

    Raises:
        QueryError: the file cannot be read.
    """
    data = _load(path)
    boxes = _layer("Polygon", tr("Boxes: {}").format(question), data)
    points = _layer("Point", tr("Points: {}").format(question), data)
    points.setEditorWidgetSetup(0, QgsEditorWidgetSetup("ValueMap", {"map": _KINDS}))
    points.setDefaultValueDefinition(0, QgsDefaultValue("'inside'"))
    boxes.setDefaultValueDefinition(0, QgsDefaultValue("'box'"))
    style_boxes(boxes)
    style_points(points)
    for layer in (boxes, points):
        add_to_group(project, layer)
    return ClickLayers(boxes.id(), points.id())


def write_clicks(layers: list[QgsVectorLayer], path: Path) -> None:
    """Write the layers as they are now, edits that are not saved included.

    Raises:
        QueryError: there is nothing in them to draw.
        OutputError: the file cannot be written.
    """
    features = [feature for layer in layers for feature in _features_of(layer)]
    if not features:
        raise QueryError("There is no box and no point left to draw: add one to the layers of the answer.")
    crs_wkt = str(layers[0].customProperty(_CRS_PROPERTY, ""))
    collection = {"type": "FeatureCollection", **({"crs_wkt": crs_wkt} if crs_wkt else {}), "features": features}
    try:
        path.write_text(json.dumps(collection, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"The edited answer cannot be written to {str(path)!r} ({error.strerror}): check the folder's permissions."
        ) from error


def _load(path: str) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise QueryError(f"The model's answer {path!r} cannot be read ({error}): run again.") from error
    return data


def _layer(kind: str, name: str, data: dict[str, Any]) -> QgsVectorLayer:
    layer = QgsVectorLayer(f"{kind}?{_FIELDS}", name, "memory")
    crs_wkt = data.get("crs_wkt", "")
    layer.setCrs(QgsCoordinateReferenceSystem.fromWkt(crs_wkt) if crs_wkt else QgsCoordinateReferenceSystem())
    layer.setCustomProperty(_CRS_PROPERTY, crs_wkt)
    wanted = [feature for feature in data["features"] if feature["geometry"]["type"] == kind]
    layer.dataProvider().addFeatures([_feature(feature, layer) for feature in wanted])
    layer.updateExtents()
    return layer


def _feature(data: dict[str, Any], layer: QgsVectorLayer) -> QgsFeature:
    feature = QgsFeature(layer.fields())
    feature.setGeometry(_geometry(data["geometry"]))
    for name in layer.fields().names():
        feature[name] = data["properties"].get(name)
    return feature


def _geometry(data: dict[str, Any]) -> QgsGeometry:
    if data["type"] == "Point":
        return QgsGeometry.fromPointXY(QgsPointXY(*data["coordinates"][:2]))
    return QgsGeometry.fromPolygonXY([[QgsPointXY(*place[:2]) for place in ring] for ring in data["coordinates"]])


def _features_of(layer: QgsVectorLayer) -> Iterator[dict[str, Any]]:
    for feature in layer.getFeatures():
        if feature.hasGeometry():
            values = {name: _plain(feature[name]) for name in ("kind", "instance", "words", "confidence")}
            values["kind"] = values["kind"] or layer.defaultValue(0)
            geometry = json.loads(feature.geometry().asJson(_DECIMALS))
            yield {"type": "Feature", "properties": values, "geometry": geometry}


def _plain(value: Any) -> Any:
    return None if value == NULL else value
