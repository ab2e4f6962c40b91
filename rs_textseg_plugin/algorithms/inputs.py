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
    QgsProcessingParameterAuthConfig,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
    QgsRectangle,
)

from rs_textseg_plugin.contract.catalog import own_parameters
from rs_textseg_plugin.contract.errors import OutputError, QueryError, SceneError
from rs_textseg_plugin.contract.recipe import DEVICES, PIPELINES, PRECISIONS, PRESETS, Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.contract.text.typed_request import TypedRequest
from rs_textseg_plugin.contract.text.typed_values import parse_parameters, split_parameters
from rs_textseg_plugin.contract.text.word_list import known_word_lists
from rs_textseg_plugin.host.layers.scene_from_layer import scene_from_layer
from rs_textseg_plugin.host.server.endpoint_key import key_for
from rs_textseg_plugin.host.translate import tr

INPUT, TEXT, PHRASE, WORD_LIST = "INPUT", "TEXT", "PHRASE", "WORD_LIST"
PRESET, PIPELINE, MODELS, EXTENT, OUTPUT = "PRESET", "PIPELINE", "MODELS", "EXTENT", "OUTPUT"
PARAMETERS, BANDS, STRETCH, NODATA, RESOLUTION = "PARAMETERS", "BANDS", "STRETCH", "NODATA", "RESOLUTION"
DEVICE, PRECISION = "DEVICE", "PRECISION"
LABEL_RASTER, SCORE_RASTER, CLASS_SCORES = "LABEL_RASTER", "SCORE_RASTER", "CLASS_SCORES"
CLICKS = "CLICKS"
BASE_URL, MODEL, AUTHCFG, CONSENT = "BASE_URL", "MODEL", "AUTHCFG", "CONSENT"

_RASTERS = {
    LABEL_RASTER: "Label raster",
    SCORE_RASTER: "Score raster",
    CLASS_SCORES: "Scores of every class (one band a class)",
}

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
        *map(_advanced, (*_declare_advanced(), *_declare_server())),
        QgsProcessingParameterVectorDestination(OUTPUT, tr("Segments"), QgsProcessing.SourceType.TypeVectorPolygon),
        *(
            QgsProcessingParameterRasterDestination(name, tr(title), optional=True, createByDefault=False)
            for name, title in _RASTERS.items()
        ),
        QgsProcessingParameterFileDestination(
            CLICKS,
            tr("Answer of the language model"),
            tr("GeoJSON files (*.geojson)"),
            optional=True,
            createByDefault=False,
        ),
    ]


def _declare_server() -> list[QgsProcessingParameterDefinition]:
    """Return the parameters for a language model behind an endpoint; the method has those for one on this computer."""
    return [
        QgsProcessingParameterString(BASE_URL, tr("Language model: address of the server"), optional=True),
        QgsProcessingParameterString(MODEL, tr("Language model: its name on the server"), optional=True),
        QgsProcessingParameterAuthConfig(AUTHCFG, tr("Language model: configuration with the key"), optional=True),
        QgsProcessingParameterBoolean(
            CONSENT, tr("Pictures of the raster may leave this computer for that address"), defaultValue=False
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
        optional=True,  # without a smallest value: what is wrong with a number is said by `contract.text`
    )
    return [
        QgsProcessingParameterEnum(
            PRESET, tr("Preset of the method"), list(PRESETS), optional=True, usesStaticStrings=True
        ),
        QgsProcessingParameterString(PARAMETERS, tr("Parameters of the method (key=value;key=value)"), optional=True),
        QgsProcessingParameterString(BANDS, tr("Red, green and blue band (empty: the first three)"), optional=True),
        QgsProcessingParameterString(
            STRETCH,
            tr("Stretch to 8 bits (empty: auto; else none, percentile:2:98, range:0:4000)"),
            optional=True,
        ),
        QgsProcessingParameterString(
            NODATA, tr("Value that marks missing pixels (empty: what the file declares)"), optional=True
        ),
        resolution,
        _enum(DEVICE, tr("Device"), list(DEVICES), Recipe().device),
        _enum(PRECISION, tr("Precision"), list(PRECISIONS), Recipe().precision),
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
        self._typed().check()
        destination = self._values.get(OUTPUT)
        if isinstance(destination, str) and destination.startswith(("memory:", "ogr:", "postgis:")):
            raise OutputError(
                f"The result cannot be written to {destination!r}: name a file, for example segments.gpkg."
            )

    def read(self) -> Request:
        """Return the order to the engine. To be called in the thread of the layers.

        Raises:
            TextSegError: as `check`, or the raster cannot be used so.
        """
        self.check()
        return self._typed().build(self._scene(), self._output())

    def key(self, request: Request) -> str:
        """Return the key of the endpoint, where the request needs one. To be called on the main thread.

        Raises:
            InputError: it cannot be read.
        """
        return key_for(request, self._text(AUTHCFG).strip())

    def _typed(self) -> TypedRequest:
        """Return the values as the one builder of requests takes them.

        Raises:
            RecipeError: a parameter is no ``key=value``, or is given twice.
        """
        return TypedRequest(
            text=self._text(TEXT),
            word_list=self._text(WORD_LIST),
            phrase=self._text(PHRASE),
            pipeline=self._text(PIPELINE),
            models=self._text(MODELS),
            preset=self._text(PRESET),
            parameters=self._parameters(),
            of_models=own_parameters(self._text(MODELS)),
            device=self._text(DEVICE),
            precision=self._text(PRECISION),
            bands=self._text(BANDS),
            stretch=self._text(STRETCH),
            nodata=self._text(NODATA),
            resolution=self._text(RESOLUTION),
            agrees_to_send=bool(self._algorithm.parameterAsBool(self._values, CONSENT, self._context)),
        )

    def _parameters(self) -> dict[str, str]:
        """Return the method's values by name, as text, from PARAMETERS, BASE_URL and MODEL."""
        server = {"base_url": self._text(BASE_URL).strip(), "model": self._text(MODEL).strip()}
        entries = [f"{name}={value}" for name, value in server.items() if value]
        return parse_parameters([*split_parameters(self._text(PARAMETERS)), *entries])

    def _text(self, name: str) -> str:
        """Return a value as it was given; of a choice that does not exist too, which QGIS would replace in silence."""
        return str(self._algorithm.parameterAsString(self._values, name, self._context))

    def _scene(self) -> Scene:
        layer = self._algorithm.parameterAsRasterLayer(self._values, INPUT, self._context)
        if layer is None:
            raise SceneError(
                f"The raster {self._values.get(INPUT)!r} cannot be opened: choose a raster layer or a file."
            )
        return scene_from_layer(layer, self._context.transformContext(), *self._extent())

    def _extent(self) -> tuple[QgsRectangle | None, QgsCoordinateReferenceSystem | None]:
        extent = self._algorithm.parameterAsExtent(self._values, EXTENT, self._context)
        if extent.isNull():
            return None, None
        crs = self._algorithm.parameterAsExtentCrs(self._values, EXTENT, self._context)
        return extent, crs  # invalid where neither the text nor a project says it: then it is that of the layer

    def _output(self) -> Output:
        # Each call names a new temporary file, so it is made once.
        return Output(
            self._layer_path(OUTPUT),
            label_raster=self._layer_path(LABEL_RASTER),
            score_raster=self._layer_path(SCORE_RASTER),
            class_scores=self._layer_path(CLASS_SCORES),
            clicks=str(self._algorithm.parameterAsFileOutput(self._values, CLICKS, self._context)),
        )

    def _layer_path(self, name: str) -> str:
        return str(self._algorithm.parameterAsOutputLayer(self._values, name, self._context))
