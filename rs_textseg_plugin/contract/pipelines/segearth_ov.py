"""The method ``segearth-ov`` and its parameters."""

from __future__ import annotations

from dataclasses import replace

from rs_textseg_plugin.contract.tables.parameter import Parameter
from rs_textseg_plugin.contract.tables.pipeline_info import PipelineInfo
from rs_textseg_plugin.contract.tables.shared import (
    COMPETING,
    DENSE,
    OURS,
    POLYGONS,
    SEGEARTH,
    TEMPLATES,
    TILING,
)

SEGEARTH_OV = PipelineInfo(
    name="segearth-ov",
    title="SegEarth-OV",
    summary="CLIP looks at every patch, a learned upsampler sharpens what it says; no masks are proposed.",
    source="SegEarth-OV (CVPR 2025), Towards Training-Free Open-Vocabulary Segmentation for Remote Sensing Images",
    roles=("clip",),
    takes="classes",
    parameters=(
        *DENSE,
        Parameter(
            "upsampling",
            "auto",
            "str",
            "How patches become pixels: auto takes the upsampler of the model set where it has one, bilinear does not.",
            f"SimFeatUp: {SEGEARTH}; bilinear where there is none: {OURS}",
            choices=("auto", "bilinear"),
        ),
        Parameter("logit_scale", 50.0, "float", "Sharpness of the softmax over words.", SEGEARTH, 0.01, 1000),
        TEMPLATES,
        Parameter(
            "prob_threshold",
            None,
            "float",
            "Pixels whose best class is less probable stay without a class; "
            "auto is 0.1, and 0.6 where one class stands alone.",
            f"{SEGEARTH}: 0.1 to 0.4 for class lists, 0.6 to 0.8 for a single class",
            0,
            1,
        ),
        *COMPETING,
        replace(TILING[0], source=f"{OURS}; the released code takes pictures whole"),
        *TILING[1:],
        *POLYGONS,
    ),
    optional_roles={
        "upsampler": "The model set has no upsampler (SimFeatUp) for its CLIP: what CLIP says was upsampled "
        "bilinearly, so outlines are coarser than the method's."
    },
)
