"""The method ``segearth-ov`` and its parameters."""

from __future__ import annotations

from dataclasses import replace

from rs_textseg_plugin.contract.tables.parameter import Parameter, Values
from rs_textseg_plugin.contract.tables.pipeline_info import CLASSES, PipelineInfo, Preset
from rs_textseg_plugin.contract.tables.shared import (
    AS_A_MASK,
    COMPETING,
    DENSE,
    OURS,
    POLYGONS,
    SEGEARTH,
    SEGEARTH_PUBLISHED,
    TEMPLATES,
    TILING,
    check_competitor,
    check_overlap,
    check_stride,
)

_PUBLISHED: Values = {**SEGEARTH_PUBLISHED, "upsampling": "auto", "prob_threshold": None}

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
        Parameter(
            "look",
            "tiles",
            "str",
            "tiles: overlapping tiles of tile_px; picture: the extent is seen at once, and one with a side of more "
            "than 8192 working pixels is refused.",
            f"tiles: {OURS}; picture: {SEGEARTH}, which takes pictures whole",
            choices=("tiles", "picture"),
        ),
        replace(TILING[0], source=OURS, help=f"{TILING[0].help[:-1]} (look=tiles)."),
        replace(TILING[1], help=f"{TILING[1].help[:-1]} (look=tiles)."),
        *POLYGONS,
    ),
    optional_roles={
        "upsampler": "The model set has no upsampler (SimFeatUp) for its CLIP: what CLIP says was upsampled "
        "bilinearly, so outlines are coarser than the method's."
    },
    presets={
        # The released configuration: the extent is one of its pictures, and is seen at 448 px. Its threshold differs
        # between the data sets (0.0 to 0.8): the word list of a data set carries it, and auto has the usual ones.
        "segearth-published": Preset(
            "the released configuration: the extent is one picture, seen at 448 px",
            {**_PUBLISHED, **AS_A_MASK, "look": "picture", "overlap_px": 0},
        ),
        # The same method over a large raster, with our choices where the release has pictures of a few hundred pixels:
        # every working pixel is seen, tiles and windows fade into each other, and the list is open.
        "native": Preset(
            "the whole raster at its working resolution",
            {
                **_PUBLISHED,
                "closed_list": False,
                "clip_long_side_px": 0,
                "clip_resize": "smooth",
                "window_blend": "taper",
                "look": "tiles",
                "tile_px": 1024,
                "overlap_px": 128,
                "min_area_m2": 1.0,
                "fill_holes_m2": 1.0,
                "simplify_m": None,
            },
        ),
    },
    checks=(check_overlap, check_stride, check_competitor),
)
