"""Named parameter values, each for one pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.tables.parameter import ParameterValue


@dataclass(frozen=True)
class Preset:
    """Parameters that belong together.

    Attributes:
        pipeline: name of the pipeline that they are parameters of.
        about: what they are, in a few words.
        values: the parameters. Values equal to our defaults are there too, so that neither a model set nor a later
            default changes them.
    """

    pipeline: str
    about: str
    values: Mapping[str, ParameterValue]


_SEGEARTH: Mapping[str, ParameterValue] = {
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

# Text2Seg's branches and their union: tiles that do not overlap, one mask for each prompt, one map of classes.
_TEXT2SEG: Mapping[str, ParameterValue] = {"multimask": False, "overlap_px": 0, "objects": "regions"}
_BOXES: Mapping[str, ParameterValue] = {"box_threshold": 0.35, "text_threshold": 0.25, "box_duplicates": 1.0}
_POINTS: Mapping[str, ParameterValue] = {
    "clip_long_side_px": 224,
    "clip_window_px": 224,
    "clip_stride_px": 224,
    "window_blend": "mean",
    "heat_attention": "surgery",
    "redundant": "empty",
    "points": "published",
    "heat_threshold": 0.8,
    "heat_down_sample": 2,
    "prob_threshold": 0.0,
    "closed_list": True,
}

PRESETS: dict[str, Preset] = {
    # What Sosa et al. 2026 (contrastive branch) states, joined with SegEarth-OV where it builds on that. What the
    # paper leaves open (vote_share, uncovered, thresholds) stays as in our table.
    "paper": Preset(
        "sam-clip",
        "as Sosa et al. 2026 describe it",
        {
            "selector": "vote",
            "vote": "majority",
            "closed_list": True,
            "region_prompts": False,
            "points_per_side": 29,
            "clip_long_side_px": 448,
            "window_blend": "mean",
            "overlap_px": 0,  # the paper cuts large images into patches that do not overlap
            "objects": "regions",
        },
    ),
    # The released configuration. A tile stands for one of its pictures, which are about that large in most of the
    # benchmarks; thresholds differ between benchmarks there (0.1 to 0.8), and auto has the usual ones.
    "segearth-published": Preset(
        "segearth-ov",
        "the released configuration: a tile is seen at 448 px",
        {
            **_SEGEARTH,
            "clip_long_side_px": 448,
            "window_blend": "mean",
            "overlap_px": 0,
        },
    ),
    # The same method over a large raster: every working pixel is seen, tiles and windows fade into each other.
    "native": Preset(
        "segearth-ov",
        "the whole raster at its working resolution",
        {
            **_SEGEARTH,
            "closed_list": False,
            "clip_long_side_px": 0,
            "window_blend": "taper",
            "overlap_px": 128,
        },
    ),
    # Text2Seg's first branch as it is described: every box above the thresholds, one mask each, their union.
    "grounding-published": Preset(
        "grounding-sam",
        "as Text2Seg describes it",
        {**_TEXT2SEG, **_BOXES},
    ),
    # Text2Seg's second branch as it is described, without the slips of its released code: one set of points a class
    # from one window over the tile, one mask each, nothing dropped.
    "surgery-published": Preset(
        "surgery-sam",
        "as Text2Seg and CLIP Surgery describe it: a tile is seen at 224 px",
        {**_TEXT2SEG, **_POINTS, "result": "masks", "box_nms_thresh": 1.0},
    ),
    # The paper's combination: every mask of every branch. The released third branch takes the softmax over the masks,
    # so that an absent class gets its best mask; here it is over the words.
    "text2seg-published": Preset(
        "text2seg",
        "the union of all branches, as Text2Seg describes it",
        {
            **_TEXT2SEG,
            **_BOXES,
            **_POINTS,
            "branches": "boxes, points, crops",
            "combine": "union",
            "least_presence": 0.0,
            "points_per_side": 16,
            "crop_background": "black",
        },
    ),
    # Six clicks, some of them beside the object, on one picture. How many of the six are where is not said, nor how the
    # model is asked for them.
    "vlm-published": Preset(
        "vlm-sam",
        "six clicks, as Sosa et al. 2026 describe it",
        {"prompts": "points", "inside_points": 4, "outside_points": 2, "view": "whole", "multimask": True},
    ),
}


def find_preset(name: str, pipeline: str) -> Mapping[str, ParameterValue]:
    """Return the parameters of that name; none for an empty name.

    Raises:
        RecipeError: there is no such preset, or it is another pipeline's.
    """
    if not name:
        return {}
    if name not in PRESETS:
        raise RecipeError(f"There is no preset {name!r}: choose one of {', '.join(PRESETS)}.")
    if PRESETS[name].pipeline != pipeline:
        fitting = [other for other, preset in PRESETS.items() if preset.pipeline == pipeline]
        raise RecipeError(
            f"The preset {name!r} is one of the pipeline {PRESETS[name].pipeline}, not of {pipeline}: "
            f"choose {' or '.join(fitting) or 'none'}, or the pipeline {PRESETS[name].pipeline}."
        )
    return PRESETS[name].values
