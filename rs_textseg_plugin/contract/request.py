"""The one value that an inference needs: Scene + Query + Recipe + Output. Nothing reaches the engine otherwise."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rs_textseg_plugin.contract.errors import WireError
from rs_textseg_plugin.contract.query import Query
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.contract.server.server_address import shown_url
from rs_textseg_plugin.contract.tables.parameter import ParameterValue


@dataclass(frozen=True)
class Output:
    """Where results go; empty paths are not written. Existing files are replaced only by a finished run.

    Attributes:
        path: vector file; its suffix decides the format (.gpkg, .shp, .geojson, .json, .fgb).
        label_raster: GeoTIFF, uint8: 0 nothing, else the class's 1-based position in the list.
        score_raster: GeoTIFF, float32: score (0..1) of the class in the label raster, NaN where there is none.
        map_picture: PNG: the scene with the polygons and a legend.
        clicks: GeoJSON in the raster's CRS: the boxes and points that a vision-language model answered with, see
            `engine.vlm.clicks_file`.
        class_scores: GeoTIFF, float32, a band for each positive class: its probability (0..1), NaN where the raster
            holds nothing or was not asked for, see `engine.results.class_scores`.
    """

    path: str
    label_raster: str = ""
    score_raster: str = ""
    map_picture: str = ""
    clicks: str = ""
    class_scores: str = ""


@dataclass(frozen=True)
class Request:
    """A complete order to the engine: frozen, and the same after a round trip through JSON.

    Attributes:
        scene, query, recipe, output: what is looked at, what is asked, how, and where results go.
        consent_to_send: the address to which pictures may be sent, as the user agreed after being told; empty: none.
            Nothing is sent to any other.
    """

    scene: Scene
    query: Query
    recipe: Recipe
    output: Output
    consent_to_send: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries, lists and scalars."""
        return dataclasses.asdict(self)

    def to_be_kept(self) -> dict[str, Any]:
        """Return the request as results hold it: without the queries of addresses, which may hold secrets."""
        recipe = dataclasses.replace(self.recipe, parameters=without_queries(self.recipe.parameters))
        return dataclasses.replace(self, recipe=recipe, consent_to_send=shown_url(self.consent_to_send)).to_json()

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Request:
        """Rebuild a request.

        Raises:
            WireError: a field is missing or unknown, or a part is not built as it should be.
        """
        try:
            return cls(
                Scene.from_json(data["scene"]),
                Query.from_json(data["query"]),
                Recipe.from_json(data["recipe"]),
                Output(**data["output"]),
                str(data["consent_to_send"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise WireError(
                f"The request cannot be read ({type(error).__name__}: {error}): "
                "plugin and engine are probably of different versions, so update both."
            ) from error


def without_queries(parameters: Mapping[str, ParameterValue]) -> dict[str, ParameterValue]:
    """Return parameters with the address of a server as it may be shown."""
    address = parameters.get("base_url")
    return {**parameters, "base_url": shown_url(str(address))} if address else dict(parameters)
