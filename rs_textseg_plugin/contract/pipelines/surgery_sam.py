"""The method ``surgery-sam`` and its parameters."""

from __future__ import annotations

from dataclasses import replace

from rs_textseg_plugin.contract.tables.parameter import Parameter, Values
from rs_textseg_plugin.contract.tables.pipeline_info import CLASSES, PipelineInfo, Preset
from rs_textseg_plugin.contract.tables.shared import (
    ATTENTIONS,
    COMPETING,
    DENSE,
    MULTIMASK,
    OURS,
    POLYGONS,
    PROMPTS_PER_BATCH,
    SURGERY,
    TEMPLATES,
    TEXT2SEG_PAPER,
    TEXT2SEG_PUBLISHED,
    TILING,
    check_competitor,
    check_overlap,
    check_stride,
    objects_are_instances,
)

_ONE_WINDOW = f"{OURS}; {TEXT2SEG_PAPER} looks at the whole picture in one window of 224 px"
_WINDOW_SOURCES = {parameter.name: parameter.source for parameter in DENSE if parameter.choices}
_WINDOW_SOURCES["window_blend"] = _ONE_WINDOW

# Surgery replaces the last blocks' attention and subtracts redundant features instead of <CLS>.
_HEAT_WINDOWS = tuple(
    replace(parameter, source=_WINDOW_SOURCES.get(parameter.name, _ONE_WINDOW))
    for parameter in DENSE
    if parameter.name not in ("attention", "cls_weight")
)

HEAT = (
    *_HEAT_WINDOWS,
    Parameter(
        "heat_attention",
        "surgery",
        "str",
        "Attention in CLIP's last blocks: surgery (v-v in the last six, on a path beside the trained one), or one of "
        "those that sam-clip has, for a CLIP that surgery does not suit.",
        f"surgery: {SURGERY}; the others: {OURS}",
        choices=("surgery", *ATTENTIONS),
    ),
    Parameter(
        "redundant",
        "empty",
        "str",
        "What is subtracted from every word: what CLIP says of the empty string (empty), or what all words of the list "
        "share (classes).",
        f"empty: {TEXT2SEG_PAPER}; classes: {SURGERY}, several texts",
        choices=("empty", "classes"),
        is_text_side=True,
    ),
    replace(TEMPLATES, source=f"80: {OURS}; 85: {SURGERY}"),
    Parameter(
        "logit_scale",
        100.0,
        "float",
        "Sharpness of the softmax over words and 'nothing', which has a heat of 0.",
        f"100: CLIP; the softmax is {OURS}",
        0.01,
        1000,
        is_text_side=True,
    ),
    Parameter(
        "points",
        "regions",
        "str",
        "regions: each connected region in which a class wins has points of its own; published: one set a class, on "
        "the hottest and the coldest cells of the tile.",
        f"published: {SURGERY}, and {TEXT2SEG_PAPER}; regions: {OURS}",
        choices=("regions", "published"),
        is_text_side=True,
    ),
    Parameter(
        "heat_threshold",
        0.8,
        "float",
        "Cells at least that hot are points, on a scale from the coldest to the hottest (points=published).",
        SURGERY,
        0,
        1,
        is_text_side=True,
    ),
    Parameter(
        "heat_down_sample",
        2,
        "int",
        "The heat map is made so many times smaller before points are chosen (points=published).",
        SURGERY,
        1,
        64,
        is_text_side=True,
    ),
    Parameter(
        "region_min_px",
        64,
        "int",
        "Smaller regions have no points, in working pixels (points=regions).",
        OURS,
        1,
        is_text_side=True,
    ),
    Parameter(
        "max_regions",
        100,
        "int",
        "At most so many regions of a class have points, the largest first (points=regions).",
        OURS,
        1,
        10_000,
        is_text_side=True,
    ),
)

_DUPLICATES = Parameter(
    "box_nms_thresh",
    0.7,
    "float",
    "Of masks whose boxes overlap more (IoU), the best rated stays; across tiles "
    "(objects=instances) the surest of a class.",
    OURS,
    0,
    1,
    is_text_side=True,
)

THRESHOLD = Parameter(
    "prob_threshold",
    None,
    "float",
    "A mask in which its class is less probable on average is dropped; auto is 0.1, and 0.6 where one class "
    "stands alone.",
    f"{OURS}, as in the other methods; {TEXT2SEG_PAPER} keeps every mask",
    0,
    1,
    is_text_side=True,
)

PUBLISHED_POINTS: Values = {
    "clip_long_side_px": 224,
    "clip_window_px": 224,
    "clip_stride_px": 224,
    "clip_resize": "square",
    "window_blend": "mean",
    "clip_positions": "bilinear",
    "heat_attention": "surgery",
    "redundant": "empty",
    "templates": "85",
    "logit_scale": 100.0,
    "points": "published",
    "heat_threshold": 0.8,
    "heat_down_sample": 2,
    "region_min_px": 64,
    "max_regions": 100,
    "prob_threshold": 0.0,
    "competitor": "background",
    "closed_list": True,
}


def _is_heat(values: Values) -> bool:
    return values.get("result") == "heat"


INFO = PipelineInfo(
    name="surgery-sam",
    title="CLIP Surgery + SAM",
    summary="CLIP's heat map of each word gives points, and SAM draws what they lie on.",
    source="Text2Seg (SIGSPATIAL GeoAI 2024), branch 2; CLIP Surgery (2023)",
    roles=("sam", "clip"),
    takes=CLASSES,
    position=40,
    answers_phrases=True,
    parameters=(
        Parameter(
            "result",
            "masks",
            "str",
            "masks: what SAM draws; heat: the map itself, without SAM's masks (the rasters of scores hold it).",
            f"masks: {TEXT2SEG_PAPER}; heat: {OURS}",
            choices=("masks", "heat"),
            is_text_side=True,
        ),
        *HEAT,
        MULTIMASK,
        PROMPTS_PER_BATCH,
        _DUPLICATES,
        THRESHOLD,
        *COMPETING,
        *TILING,
        Parameter(
            "objects",
            "regions",
            "str",
            "regions: touching pixels of a class are one polygon; instances: one polygon per mask.",
            f"regions: {TEXT2SEG_PAPER}; instances: {OURS}",
            choices=("regions", "instances"),
            is_text_side=True,
        ),
        *POLYGONS,
    ),
    presets={
        # Text2Seg's second branch as it is described, without the slips of its released code: the tile squashed to one
        # window, the 85 sentences and bilinear positions of CLIP Surgery, one set of points a class, one mask each,
        # nothing dropped.
        "surgery-published": Preset(
            "as Text2Seg and CLIP Surgery describe it: a tile is seen at 224 px",
            {**TEXT2SEG_PUBLISHED, **PUBLISHED_POINTS, "result": "masks", "box_nms_thresh": 1.0},
        ),
    },
    makes_instances=objects_are_instances,
    makes_heat=_is_heat,
    checks=(check_overlap, check_stride, check_competitor),
)
