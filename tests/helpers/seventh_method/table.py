"""The method ``bright-spots`` and its parameters: the first of the two files of a seventh method."""

from __future__ import annotations

from rs_textseg_plugin.contract.tables.parameter import Parameter, Values
from rs_textseg_plugin.contract.tables.pipeline_info import CLASSES, PipelineInfo, Preset
from rs_textseg_plugin.contract.tables.shared import POLYGONS, TILING, check_overlap


def _always(_: Values) -> bool:
    return True


INFO = PipelineInfo(
    name="bright-spots",
    title="Bright spots",
    summary="Whatever is brighter than a threshold is of the first class.",
    source="a test",
    roles=(),
    takes=CLASSES,
    position=70,
    parameters=(
        Parameter("least_brightness", 200, "int", "Darker pixels are left out.", "a test", 0, 255, is_text_side=True),
        *TILING,
        *POLYGONS,
    ),
    presets={"dim": Preset("darker spots too", {"least_brightness": 100})},
    makes_instances=_always,
    checks=(check_overlap,),
)
