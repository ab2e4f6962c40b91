"""The methods of Text2Seg and their parameters."""

from __future__ import annotations

from dataclasses import replace

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.pipelines.sam_clip import SAM_CLIP
from rs_textseg_plugin.contract.tables.parameter import Parameter
from rs_textseg_plugin.contract.tables.pipeline_info import PipelineInfo
from rs_textseg_plugin.contract.tables.shared import (
    ATTENTIONS,
    COMPETING,
    DENSE,
    OURS,
    POLYGONS,
    TEMPLATES,
    TILING,
)

_PAPER = "Text2Seg (SIGSPATIAL GeoAI 2024)"
_SURGERY = "CLIP Surgery (2023), released code"

_MULTIMASK = Parameter(
    "multimask",
    False,
    "bool",
    "Whether SAM draws three masks for each prompt, of which the one that it rates best is taken; else it draws one.",
    f"false: {_PAPER}; true: {_SURGERY}",
)

_PROMPTS_PER_BATCH = Parameter(
    "prompts_per_batch", 64, "int", "Prompts that go through SAM's decoder at once.", OURS, 1, 4096
)

# Surgery replaces the last blocks' attention and subtracts redundant features instead of <CLS>.
_HEAT_LOOK = tuple(
    replace(parameter, source=f"{OURS}; {_PAPER} looks at the whole picture in one window of 224 px")
    for parameter in DENSE
    if parameter.name not in ("attention", "cls_weight")
)

_HEAT = (
    *_HEAT_LOOK,
    Parameter(
        "heat_attention",
        "surgery",
        "str",
        "Attention in CLIP's last blocks: surgery (v-v in the last six, on a path beside the trained one), or one of "
        "those that sam-clip has, for a CLIP that surgery does not suit.",
        f"surgery: {_SURGERY}; the others: {OURS}",
        choices=("surgery", *ATTENTIONS),
    ),
    Parameter(
        "redundant",
        "empty",
        "str",
        "What is subtracted from every word: what CLIP says of the empty string (empty), or what all words of the list "
        "share (classes).",
        f"empty: {_PAPER}; classes: {_SURGERY}, several texts",
        choices=("empty", "classes"),
    ),
    replace(TEMPLATES, source=f"{OURS}; {_SURGERY} has 85 sentences, five of them its own"),
    Parameter(
        "logit_scale",
        100.0,
        "float",
        "Sharpness of the softmax over words and 'nothing', which has a heat of 0.",
        f"100: CLIP; the softmax is {OURS}",
        0.01,
        1000,
    ),
    Parameter(
        "points",
        "regions",
        "str",
        "regions: each connected region in which a class wins has points of its own; published: one set a class, on "
        "the hottest and the coldest cells of the tile.",
        f"published: {_SURGERY}, and {_PAPER}; regions: {OURS}",
        choices=("regions", "published"),
    ),
    Parameter(
        "heat_threshold",
        0.8,
        "float",
        "Cells at least that hot are points, on a scale from the coldest to the hottest (points=published).",
        _SURGERY,
        0,
        1,
    ),
    Parameter(
        "heat_down_sample",
        2,
        "int",
        "The heat map is made so many times smaller before points are chosen (points=published).",
        _SURGERY,
        1,
        64,
    ),
    Parameter(
        "region_min_px", 64, "int", "Smaller regions have no points, in working pixels (points=regions).", OURS, 1
    ),
    Parameter(
        "max_regions",
        100,
        "int",
        "At most so many regions of a class have points, the largest first (points=regions).",
        OURS,
        1,
        10_000,
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
)

_THRESHOLD = Parameter(
    "prob_threshold",
    None,
    "float",
    "A mask in which its class is less probable on average is dropped; auto is 0.1, and 0.6 where one class "
    "stands alone.",
    f"{OURS}, as in the other methods; {_PAPER} keeps every mask",
    0,
    1,
)

_DINO = "Grounding DINO, released code"

_BOXES = (
    Parameter(
        "box_threshold",
        0.35,
        "float",
        "Boxes none of whose words fits better are dropped.",
        f"{_PAPER}; {_DINO}",
        0,
        1,
    ),
    Parameter(
        "text_threshold",
        0.25,
        "float",
        "A word that fits a box no better does not name it; a box that no word names is dropped.",
        f"{_PAPER}; {_DINO}",
        0,
        1,
    ),
    Parameter(
        "box_duplicates",
        0.7,
        "float",
        "Of boxes of one class that overlap more (IoU) the best one stays: in a tile and, with objects=instances, "
        "across tiles.",
        f"{OURS}; {_PAPER} keeps all, which is 1",
        0,
        1,
    ),
    Parameter(
        "box_prompt",
        "box",
        "str",
        "What SAM is given: box, or middle, the point in the middle of the box, of whose three masks the one that fits "
        "the box best is taken: for rough boxes, and for a SAM that knows points better than boxes.",
        f"box: {_PAPER}; middle: {OURS}",
        choices=("box", "middle"),
    ),
)

GROUNDING_SAM = PipelineInfo(
    name="grounding-sam",
    title="Grounding DINO + SAM",
    summary="Grounding DINO puts a box around each thing that the words name, and SAM draws what is in it.",
    source="Text2Seg (SIGSPATIAL GeoAI 2024), branch 1; Grounding DINO (ECCV 2024)",
    roles=("sam", "detector"),
    takes="classes",
    answers_phrases=True,
    parameters=(
        *_BOXES,
        _MULTIMASK,
        _PROMPTS_PER_BATCH,
        *TILING,
        Parameter(
            "objects",
            "instances",
            "str",
            "instances: one polygon per box; regions: touching pixels of a class are one polygon.",
            f"regions: {_PAPER}; instances: {OURS}",
            choices=("instances", "regions"),
        ),
        *POLYGONS,
    ),
)

SURGERY_SAM = PipelineInfo(
    name="surgery-sam",
    title="CLIP Surgery + SAM",
    summary="CLIP's heat map of each word gives points, and SAM draws what they lie on.",
    source="Text2Seg (SIGSPATIAL GeoAI 2024), branch 2; CLIP Surgery (2023)",
    roles=("sam", "clip"),
    takes="classes",
    answers_phrases=True,
    parameters=(
        Parameter(
            "result",
            "masks",
            "str",
            "masks: what SAM draws; heat: the map itself, without SAM's masks (the rasters of scores hold it).",
            f"masks: {_PAPER}; heat: {OURS}",
            choices=("masks", "heat"),
        ),
        *_HEAT,
        _MULTIMASK,
        _PROMPTS_PER_BATCH,
        _DUPLICATES,
        _THRESHOLD,
        *COMPETING,
        *TILING,
        Parameter(
            "objects",
            "regions",
            "str",
            "regions: touching pixels of a class are one polygon; instances: one polygon per mask.",
            f"regions: {_PAPER}; instances: {OURS}",
            choices=("regions", "instances"),
        ),
        *POLYGONS,
    ),
)

BRANCHES = ("boxes", "points", "crops")

_PROPOSALS = (
    "points_per_side", "points_per_batch", "pred_iou_thresh", "stability_score_thresh", "stability_score_offset",
    "box_nms_thresh", "crop_background",
)  # fmt: skip

TEXT2SEG = PipelineInfo(
    name="text2seg",
    title="Text2Seg",
    summary="Grounding DINO's boxes, CLIP Surgery's points and CLIP's choice among SAM's masks, joined.",
    source="Text2Seg (SIGSPATIAL GeoAI 2024), all three branches",
    roles=("sam", "clip"),
    takes="classes",
    answers_phrases=True,
    remark_field="branches",
    parameters=(
        Parameter(
            "branches",
            ", ".join(BRANCHES),
            "str",
            "Which branches are joined, separated by commas: boxes (as grounding-sam), points (as surgery-sam), crops "
            "(as sam-clip with selector=crop).",
            f"{_PAPER}: any of them",
        ),
        Parameter(
            "combine",
            "vote",
            "str",
            "vote: at each pixel every branch gives its class its score, and the class with the highest mean over the "
            "branches wins; union: every mask of every branch is kept.",
            f"union: {_PAPER}; vote: {OURS}",
            choices=("vote", "union"),
        ),
        Parameter(
            "least_vote",
            0.25,
            "float",
            "A pixel whose best class has a lower mean score over the branches stays without a class (combine=vote).",
            OURS,
            0,
            1,
        ),
        Parameter(
            "least_presence",
            0.35,
            "float",
            "A class is taken as absent from the whole extent, with a note, where less than min_area_m2 of it is that "
            "probable; 0: none is. The default asks two of three branches that count alike to agree somewhere.",
            OURS,
            0,
            1,
        ),
        *(
            Parameter(
                f"{branch}_weight",
                1.0,
                "float",
                f"How much the branch {branch} counts in the vote (combine=vote).",
                OURS,
                0.01,
                100,
            )
            for branch in BRANCHES
        ),
        *_BOXES,
        *_HEAT,
        *(
            replace(parameter, default=16, source=f"16: {_PAPER}, released code")
            if parameter.name == "points_per_side"
            else parameter
            for parameter in SAM_CLIP.parameters
            if parameter.name in _PROPOSALS
        ),
        _MULTIMASK,
        _PROMPTS_PER_BATCH,
        _THRESHOLD,
        *COMPETING,
        *TILING,
        Parameter(
            "objects",
            "regions",
            "str",
            "regions: touching pixels of a class are one polygon; instances: one polygon per mask (combine=union).",
            f"regions: {_PAPER}; instances: {OURS}",
            choices=("regions", "instances"),
        ),
        *POLYGONS,
    ),
    optional_roles={
        "detector": "The model set has no detector (Grounding DINO), so the branch 'boxes' could not take part.",
    },
)


def read_branches(text: str) -> tuple[str, ...]:
    """Return the branches that a text names, in the order of `BRANCHES`.

    Raises:
        RecipeError: an unknown branch, or none.
    """
    named = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in named if word not in BRANCHES]
    if unknown or not named:
        raise RecipeError(
            f"The parameter branches={text!r} names {f'no branch {unknown[0]!r} that exists' if unknown else 'none'}: "
            f"write some of {', '.join(BRANCHES)}, separated by commas."
        )
    return tuple(branch for branch in BRANCHES if branch in named)
