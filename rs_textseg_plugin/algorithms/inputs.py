"""The parameters of "Segment by text", and the request that they make."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
    QgsRectangle,
)

from rs_textseg_plugin.algorithms.parameter_text import parse_bands, parse_parameters
from rs_textseg_plugin.contract.errors import OutputError, QueryError, SceneError
from rs_textseg_plugin.contract.query import Query, parse_class_list
from rs_textseg_plugin.contract.recipe import PIPELINES, PRESETS, Recipe, find_pipeline, find_preset
from rs_textseg_plugin.contract.referring import parse_phrase_for
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.contract.word_list import find_word_list, known_word_lists
from rs_textseg_plugin.host.scene_from_layer import scene_from_layer
from rs_textseg_plugin.host.translate import tr

INPUT, TEXT, PHRASE, WORD_LIST = "INPUT", "TEXT", "PHRASE", "WORD_LIST"
PRESET, PIPELINE, MODELS, EXTENT, OUTPUT = "PRESET", "PIPELINE", "MODELS", "EXTENT", "OUTPUT"
PARAMETERS, BANDS, RESOLUTION, DEVICE = "PARAMETERS", "BANDS", "RESOLUTION", "DEVICE"
LABEL_RASTER, SCORE_RASTER = "LABEL_RASTER", "SCORE_RASTER"
DEVICES = ["auto", "cpu", "cuda", "mps"]

Values = Mapping[str, Any]


def declare() -> list[QgsProcessingParameterDefinition]:
    """Return the parameters; names and words of choices are stable, because scripts use them."""
    return [
        QgsProcessingParameterRasterLayer(INPUT, tr("Raster layer")),
        QgsProcessingParameterString(TEXT, tr("What to look for: class list"), multiLine=True, optional=True),
        _word_list(),
        QgsProcessingParameterString(PHRASE, tr("or: phrase"), optional=True),
        _enum(PIPELINE, tr("Method"), list(PIPELINES), Recipe().pipeline),
        QgsProcessingParameterString(MODELS, tr("Models (a set or a folder)"), defaultValue=Recipe().models),
        QgsProcessingParameterExtent(EXTENT, tr("Extent"), optional=True),
        *map(_advanced, _declare_advanced()),
        QgsProcessingParameterVectorDestination(OUTPUT, tr("Segments"), QgsProcessing.SourceType.TypeVectorPolygon),
        *(
            QgsProcessingParameterRasterDestination(name, title, optional=True, createByDefault=False)
            for name, title in ((LABEL_RASTER, tr("Label raster")), (SCORE_RASTER, tr("Score raster")))
        ),
    ]


def _word_list() -> QgsProcessingParameterString:
    """Return a text parameter, because one's own lists and files come and go; QGIS 3.24 and later offer those there."""
    definition = QgsProcessingParameterString(WORD_LIST, tr("or: name of a class list"), optional=True)
    with contextlib.suppress(QueryError):  # one of the user's own cannot be read: it is told where it is used
        definition.setMetadata({"widget_wrapper": {"value_hints": [entry.name for entry in known_word_lists()]}})
    return definition


def _declare_advanced() -> list[QgsProcessingParameterDefinition]:
    resolution = QgsProcessingParameterNumber(
        RESOLUTION,
        tr("Ground resolution in metres (empty: as the raster)"),
        QgsProcessingParameterNumber.Type.Double,
        optional=True,
        minValue=0.001,
    )
    return [
        QgsProcessingParameterEnum(
            PRESET, tr("Preset of the method"), list(PRESETS), optional=True, usesStaticStrings=True
        ),
        QgsProcessingParameterString(PARAMETERS, tr("Parameters of the method (key=value;key=value)"), optional=True),
        QgsProcessingParameterString(BANDS, tr("Red, green and blue band (empty: the first three)"), optional=True),
        resolution,
        _enum(DEVICE, tr("Device"), DEVICES, Recipe().device),
    ]


def _enum(name: str, title: str, options: list[str], default: str) -> QgsProcessingParameterEnum:
    return QgsProcessingParameterEnum(name, title, options, defaultValue=default, usesStaticStrings=True)


def _advanced(definition: QgsProcessingParameterDefinition) -> QgsProcessingParameterDefinition:
    definition.setFlags(definition.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
    return definition


class Inputs:
    """Reads the values that an algorithm was given.

    Args:
        algorithm: the one that is run.
        values: what Processing hands over.
        context: of the run.
    """

    def __init__(self, algorithm: QgsProcessingAlgorithm, values: Values, context: QgsProcessingContext) -> None:
        self._algorithm, self._values, self._context = algorithm, values, context

    def check(self) -> None:
        """Look at everything that can be wrong before a layer is touched.

        Raises:
            TextSegError: the first thing that is.
        """
        find_pipeline(self._pipeline())
        self._query()
        self._recipe().checked_parameters()
        parse_bands(self._text(BANDS))
        destination = self._values.get(OUTPUT)
        if isinstance(destination, str) and destination.startswith(("memory:", "ogr:", "postgis:")):
            raise OutputError(
                f"The result cannot be written to {destination!r}: name a file, for example segments.gpkg."
            )

    def read(self) -> Request:
        """Return the order to the engine. To be called in the thread of the layers.

        Raises:
            TextSegError: the raster cannot be used so.
        """
        return Request(self._scene(), self._query(), self._recipe(), self._output())

    def _text(self, name: str) -> str:
        return str(self._algorithm.parameterAsString(self._values, name, self._context))

    def _pipeline(self) -> str:
        return str(self._algorithm.parameterAsEnumString(self._values, PIPELINE, self._context))

    def _preset(self) -> str:
        return str(self._algorithm.parameterAsEnumString(self._values, PRESET, self._context))

    def _query(self) -> Query:
        given = {name: self._text(name) for name in (TEXT, WORD_LIST, PHRASE) if self._text(name).strip()}
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise QueryError(f"Say what to look for with exactly one of TEXT, WORD_LIST and PHRASE, not with {found}.")
        ((name, text),) = given.items()
        info = PIPELINES[self._pipeline()]
        if name == PHRASE:
            return parse_phrase_for(info, text)
        if info.takes == "phrase":
            raise QueryError(f"The pipeline {info.name} answers a phrase or question: give PHRASE in place of {name}.")
        return parse_class_list(find_word_list(text.strip()).text if name == WORD_LIST else text)

    def _recipe(self) -> Recipe:
        device = str(self._algorithm.parameterAsEnumString(self._values, DEVICE, self._context))
        parameters = {**find_preset(self._preset(), self._pipeline()), **parse_parameters(self._text(PARAMETERS))}
        return Recipe(self._pipeline(), self._text(MODELS).strip(), parameters, device)

    def _scene(self) -> Scene:
        layer = self._algorithm.parameterAsRasterLayer(self._values, INPUT, self._context)
        if layer is None:
            raise SceneError(
                f"The raster {self._values.get(INPUT)!r} cannot be opened: choose a raster layer or a file."
            )
        extent, extent_crs = self._extent()
        return scene_from_layer(
            layer,
            self._context.transformContext(),
            extent,
            extent_crs,
            parse_bands(self._text(BANDS)),
            self._resolution_m(),
        )

    def _extent(self) -> tuple[QgsRectangle | None, QgsCoordinateReferenceSystem | None]:
        extent = self._algorithm.parameterAsExtent(self._values, EXTENT, self._context)
        if extent.isNull():
            return None, None
        crs = self._algorithm.parameterAsExtentCrs(self._values, EXTENT, self._context)
        return extent, crs  # invalid where neither the text nor a project says it: then it is that of the layer

    def _resolution_m(self) -> float | None:
        if self._values.get(RESOLUTION) in (None, ""):
            return None
        return float(self._algorithm.parameterAsDouble(self._values, RESOLUTION, self._context))

    def _output(self) -> Output:
        names = (OUTPUT, LABEL_RASTER, SCORE_RASTER)
        # Each call names a new temporary file, so it is made once.
        return Output(
            *(str(self._algorithm.parameterAsOutputLayer(self._values, name, self._context)) for name in names)
        )
