"""The method ``sam-clip`` and its parameters."""

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
    SOSA,
    TEMPLATES,
    TILING,
    check_competitor,
    check_overlap,
    check_stride,
)

_SAM = "SamAutomaticMaskGenerator default (segment-anything 1.0)"
_TEXT2SEG_CROPS = "Text2Seg, branch 3, released code"

# What the released mask generator does unless told otherwise.
PUBLISHED_PROPOSALS: Values = {
    "pred_iou_thresh": 0.88,
    "stability_score_thresh": 0.95,
    "stability_score_offset": 1.0,
    "box_nms_thresh": 0.7,
}

# Text2Seg's third branch: the crop on black, squashed as CLIP Surgery's code prepares it, and a softmax over the masks.
PUBLISHED_CROPS: Values = {
    "crop_background": "black",
    "crop_shape": "squashed",
    "crop_softmax": "masks",
    "crop_threshold": 0.05,
}

# What the paper says of parameters that it shares with SegEarth-OV.
_SOURCES = {
    "clip_long_side_px": f"{SOSA}; {SEGEARTH}",
    "clip_resize": f"smooth: {OURS}; plain: {SEGEARTH} (OpenCV); not stated by {SOSA}; square: CLIP Surgery (2023)",
    "attention": f"self-self: {SEGEARTH}; not stated by {SOSA}",
    "cls_weight": f"{SEGEARTH}; {SOSA} uses the step without giving the value",
}


def _are_instances(values: Values) -> bool:
    objects = values["objects"]
    return objects == "instances" or (objects == "auto" and values["selector"] == "crop")


INFO = PipelineInfo(
    name="sam-clip",
    title="SAM + CLIP",
    summary="SAM proposes masks on a grid of points, CLIP decides what each of them is.",
    source="Sosa et al. 2026, Enabling Training-Free Text-Based Remote Sensing Segmentation, contrastive branch",
    roles=("sam", "clip"),
    takes=CLASSES,
    position=10,
    parameters=(
        Parameter(
            "selector",
            "vote",
            "str",
            "vote: a dense CLIP map is computed and each mask takes its majority class; "
            "crop: CLIP looks at each masked crop.",
            f"vote: {SOSA}; crop: Text2Seg, branch 3",
            choices=("vote", "crop"),
        ),
        Parameter(
            "points_per_side",
            20,
            "int",
            "Point prompts along each side of a tile.",
            f"{SOSA}: 29 is best, 20 reaches 95 % of the gain (LoveDA) at 48 % of the prompts; default 20 is {OURS}",
            1,
            128,
        ),
        Parameter(
            "points_per_batch",
            64,
            "int",
            "Point prompts that go through SAM's decoder at once.",
            _SAM,
            1,
            4096,
            follows_models=True,
        ),
        Parameter("pred_iou_thresh", 0.88, "float", "Masks that SAM itself rates lower are dropped.", _SAM, 0, 1),
        Parameter(
            "stability_score_thresh", 0.95, "float", "Masks less stable against the cut-off are dropped.", _SAM, 0, 1
        ),
        Parameter("stability_score_offset", 1.0, "float", "Shift of the cut-off in logits for that test.", _SAM, 0),
        Parameter(
            "box_nms_thresh", 0.7, "float", "Of masks whose boxes overlap more (IoU), the best rated stays.", _SAM, 0, 1
        ),
        *(replace(parameter, source=_SOURCES.get(parameter.name, parameter.source)) for parameter in DENSE),
        Parameter(
            "logit_scale",
            None,
            "float",
            "Sharpness of the softmax over words; auto is 50 for vote and 100 for crop.",
            f"50: {SEGEARTH}; 100: CLIP",
            0.01,
            1000,
            is_text_side=True,
        ),
        replace(TEMPLATES, source=f"{SEGEARTH}; not stated by {SOSA}"),
        Parameter(
            "prob_threshold",
            None,
            "float",
            "Pixels or crops whose best class is less probable stay without a class; "
            "auto is 0.1, and 0.6 where one class stands alone.",
            f"{SEGEARTH}: 0.1 for most class lists, 0.6 to 0.8 for a single class",
            0,
            1,
            is_text_side=True,
        ),
        Parameter(
            "vote",
            "soft",
            "str",
            "majority: each mask takes the class of most of its pixels; soft: the mean probabilities inside the masks "
            "that cover a pixel, weighted by SAM's rating of each, are averaged with the pixel's own (selector=vote).",
            f"majority: {SOSA}; soft: {OURS}, better on scenes with truth (docs/decisions/0011-soft-vote.md)",
            choices=("majority", "soft"),
            is_text_side=True,
        ),
        Parameter(
            "vote_weight",
            3.0,
            "float",
            "How much a mask that SAM is sure of counts beside the pixel's own probability (vote=soft).",
            OURS,
            0,
            100,
            is_text_side=True,
        ),
        Parameter(
            "vote_share",
            0.5,
            "float",
            "A mask takes the class of at least this share of its pixels, or none (vote=majority, several classes).",
            f"{OURS}; 0: {SOSA}",
            0,
            1,
            is_text_side=True,
        ),
        Parameter(
            "foreground_threshold",
            0.5,
            "float",
            "A pixel at least that probable is foreground (vote=majority, where one class stands alone).",
            f"{OURS}; {SOSA} names a threshold without its value",
            0,
            1,
            is_text_side=True,
        ),
        Parameter(
            "foreground_share",
            0.5,
            "float",
            "A mask is kept where at least this share of it is foreground; nothing outside of kept masks is output "
            "(vote=majority, where one class stands alone).",
            f"{OURS}; {SOSA} names a share without its value",
            0,
            1,
            is_text_side=True,
        ),
        Parameter(
            "uncovered",
            "clip",
            "str",
            "Pixels under no mask: clip takes the dense map's class, nothing leaves them out (selector=vote; with "
            "vote=majority they are left out where one class stands alone).",
            f"{OURS}; not stated by {SOSA}",
            choices=("clip", "nothing"),
            is_text_side=True,
        ),
        Parameter(
            "region_prompts",
            False,
            "bool",
            "Whether SAM is also asked what lies in the middle of each region of the dense map, which takes time for "
            "every question (selector=vote).",
            f"{OURS}; {SOSA} asks the grid of points only",
        ),
        Parameter(
            "region_min_px",
            12,
            "int",
            "Smaller regions are not asked for, in working pixels (region_prompts).",
            OURS,
            1,
            is_text_side=True,
        ),
        Parameter(
            "region_max_points",
            200,
            "int",
            "At most so many regions of a tile are asked for, the largest first; the others are left out "
            "(region_prompts).",
            OURS,
            0,
            10_000,
            is_text_side=True,
        ),
        *COMPETING,
        Parameter(
            "crop_background",
            "black",
            "str",
            "What a crop shows around its mask: black, mean (CLIP's mean colour) or image (selector=crop).",
            "Text2Seg, branch 3",
            choices=("black", "mean", "image"),
        ),
        Parameter(
            "crop_shape",
            "padded",
            "str",
            "How a crop becomes the square that CLIP sees: padded to one, or squashed (selector=crop).",
            f"padded: {OURS}, it keeps the shape of long objects; squashed: {_TEXT2SEG_CROPS}",
            choices=("padded", "squashed"),
        ),
        Parameter(
            "crop_softmax",
            "words",
            "str",
            "words: the words compete for each crop; masks: the crops of a tile compete for each word, and a mask may "
            "be of several classes or of none (selector=crop).",
            f"words: {OURS}, it lets a class be absent; masks: {_TEXT2SEG_CROPS}",
            choices=("words", "masks"),
            is_text_side=True,
        ),
        Parameter(
            "crop_threshold",
            0.05,
            "float",
            "A mask is of a class where one of its words has a larger share than this (crop_softmax=masks).",
            _TEXT2SEG_CROPS,
            0,
            1,
            is_text_side=True,
        ),
        *TILING,
        Parameter(
            "objects",
            "auto",
            "str",
            "instances: one polygon per mask; regions: touching pixels of a class are one polygon; "
            "auto: instances for selector=crop, regions for selector=vote.",
            f"{OURS}; the paper's result is a label map, which is 'regions'",
            choices=("auto", "instances", "regions"),
            is_text_side=True,
        ),
        *POLYGONS,
    ),
    presets={
        # What Sosa et al. 2026 (contrastive branch) states, joined with SegEarth-OV where it builds on that and with
        # the defaults of SAM's mask generator. Several classes: a mask takes its majority class, whatever its share,
        # and no pixel is too improbable. One class alone: masks of which enough is foreground. The paper leaves open
        # both values for that, what is under no mask (clip), and how the picture is resized (as SegEarth-OV does).
        "paper": Preset(
            "as Sosa et al. 2026 describe it",
            {
                **SEGEARTH_PUBLISHED,
                **PUBLISHED_PROPOSALS,
                **PUBLISHED_CROPS,  # not read by this selector
                **AS_A_MASK,
                "selector": "vote",
                "points_per_side": 29,
                "prob_threshold": 0.0,
                "vote": "majority",
                "vote_weight": 3.0,
                "vote_share": 0.0,
                "foreground_threshold": 0.5,
                "foreground_share": 0.5,
                "uncovered": "clip",
                "region_prompts": False,
                "region_min_px": 12,
                "region_max_points": 200,
                "overlap_px": 0,  # the paper cuts large images into patches that do not overlap
                "objects": "regions",
            },
        ),
    },
    makes_instances=_are_instances,
    checks=(check_overlap, check_stride, check_competitor),
)
