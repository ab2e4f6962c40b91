"""The method ``segearth-ov`` and its parameters."""

from __future__ import annotations

from dataclasses import replace

from rs_textseg_plugin.contract.tables.parameter import Parameter, Values
from rs_textseg_plugin.contract.tables.pipeline_info import CLASSES, PipelineInfo, Preset
from rs_textseg_plugin.contract.tables.shared import (
    COMPETING,
    DENSE,
    OURS,
    POLYGONS,
    SEGEARTH,
    TEMPLATES,
    TILING,
    check_competitor,
    check_overlap,
    check_stride,
)

_PUBLISHED: Values = {
    "clip_window_px": 224,
    "clip_stride_px": 112,
    "attention": "self-self",
    "cls_weight": 0.3,
    "upsampling": "auto",
    "logit_scale": 50.0,
    "templates": "80",
    "prob_threshold": None,
    "closed_list": True,
    "tile_px": 1024,
}

INFO = PipelineInfo(
    name="segearth-ov",
    title="SegEarth-OV",
    summary="CLIP looks at every patch, a learned upsampler sharpens what it says; no masks are proposed.",
    source="SegEarth-OV (CVPR 2025), Towards Training-Free Open-Vocabulary Segmentation for Remote Sensing Images",
    roles=("clip",),
    takes=CLASSES,
    position=20,
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
        Parameter(
            "logit_scale",
            50.0,
            "float",
            "Sharpness of the softmax over words.",
            SEGEARTH,
            0.01,
            1000,
            is_text_side=True,
        ),
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
            is_text_side=True,
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
    presets={
        # The released configuration. A tile stands for one of its pictures, which are about that large in most of the
        # benchmarks; thresholds differ between benchmarks there (0.1 to 0.8), and auto has the usual ones.
        "segearth-published": Preset(
            "the released configuration: a tile is seen at 448 px",
            {**_PUBLISHED, "clip_long_side_px": 448, "window_blend": "mean", "overlap_px": 0},
        ),
        # The same method over a large raster: every working pixel is seen, tiles and windows fade into each other.
        "native": Preset(
            "the whole raster at its working resolution",
            {**_PUBLISHED, "closed_list": False, "clip_long_side_px": 0, "window_blend": "taper", "overlap_px": 128},
        ),
    },
    checks=(check_overlap, check_stride, check_competitor),
)
