"""The method ``text2seg`` and its parameters."""

from __future__ import annotations

from dataclasses import replace

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.pipelines.grounding_sam import BOXES, PUBLISHED_BOXES
from rs_textseg_plugin.contract.pipelines.sam_clip import INFO as SAM_CLIP
from rs_textseg_plugin.contract.pipelines.sam_clip import PUBLISHED_CROPS, PUBLISHED_PROPOSALS
from rs_textseg_plugin.contract.pipelines.surgery_sam import HEAT, PUBLISHED_POINTS, THRESHOLD
from rs_textseg_plugin.contract.tables.parameter import Parameter, Values
from rs_textseg_plugin.contract.tables.pipeline_info import CLASSES, PipelineInfo, Preset
from rs_textseg_plugin.contract.tables.shared import (
    COMPETING,
    MULTIMASK,
    OURS,
    POLYGONS,
    PROMPTS_PER_BATCH,
    TEMPLATES,
    TEXT2SEG_PAPER,
    TEXT2SEG_PUBLISHED,
    TILING,
    check_competitor,
    check_overlap,
    check_stride,
    objects_are_instances,
)

BRANCHES = ("boxes", "points", "crops")


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


def _check_branches(values: Values) -> None:
    read_branches(str(values["branches"]))


_PROPOSALS = (
    "points_per_side", "points_per_batch", "pred_iou_thresh", "stability_score_thresh", "stability_score_offset",
    "box_nms_thresh", "crop_background", "crop_shape", "crop_softmax", "crop_threshold",
)  # fmt: skip

INFO = PipelineInfo(
    name="text2seg",
    title="Text2Seg",
    summary="Grounding DINO's boxes, CLIP Surgery's points and CLIP's choice among SAM's masks, joined.",
    source="Text2Seg (SIGSPATIAL GeoAI 2024), all three branches",
    roles=("sam", "clip"),
    takes=CLASSES,
    position=50,
    answers_phrases=True,
    remark_field="branches",
    parameters=(
        Parameter(
            "branches",
            ", ".join(BRANCHES),
            "str",
            "Which branches are joined, separated by commas: boxes (as grounding-sam), points (as surgery-sam), crops "
            "(as sam-clip with selector=crop).",
            f"{TEXT2SEG_PAPER}: any of them",
        ),
        Parameter(
            "combine",
            "vote",
            "str",
            "vote: at each pixel every branch gives its class its score, and the class with the highest mean over the "
            "branches wins; union: every mask of every branch is kept.",
            f"union: {TEXT2SEG_PAPER}; vote: {OURS}",
            choices=("vote", "union"),
            is_text_side=True,
        ),
        Parameter(
            "least_vote",
            0.25,
            "float",
            "A pixel whose best class has a lower mean score over the branches stays without a class (combine=vote).",
            OURS,
            0,
            1,
            is_text_side=True,
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
            is_text_side=True,
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
                is_text_side=True,
            )
            for branch in BRANCHES
        ),
        *BOXES,
        *HEAT,
        *(
            replace(parameter, default=16, source=f"16: {TEXT2SEG_PAPER}, released code")
            if parameter.name == "points_per_side"
            else parameter
            for parameter in SAM_CLIP.parameters
            if parameter.name in _PROPOSALS
        ),
        Parameter(
            "crop_templates",
            None,
            "str",
            "Sentences that words are put into for the branch crops, see templates; auto: the same.",
            f"auto: {OURS}; word: {TEXT2SEG_PAPER}, released code",
            choices=TEMPLATES.choices,
            is_text_side=True,
        ),
        Parameter(
            "points_nms_thresh",
            None,
            "float",
            "Of the branch points' masks whose boxes overlap more (IoU), the best rated stays; auto: box_nms_thresh.",
            f"auto: {OURS}; {TEXT2SEG_PAPER} keeps all, which is 1",
            0,
            1,
            is_text_side=True,
        ),
        MULTIMASK,
        PROMPTS_PER_BATCH,
        THRESHOLD,
        *COMPETING,
        *TILING,
        Parameter(
            "objects",
            "regions",
            "str",
            "regions: touching pixels of a class are one polygon; instances: one polygon per mask (combine=union).",
            f"regions: {TEXT2SEG_PAPER}; instances: {OURS}",
            choices=("regions", "instances"),
            is_text_side=True,
        ),
        *POLYGONS,
    ),
    optional_roles={
        "detector": "The model set has no detector (Grounding DINO), so the branch 'boxes' could not take part.",
    },
    presets={
        # The paper's combination: every mask of every branch. The third branch compares the crops of a tile with each
        # word by itself (its softmax is over the masks) and keeps what has more than a twentieth: at most 19 masks a
        # word, and a class that is absent gets its best masks too.
        "text2seg-published": Preset(
            "the union of all branches, as Text2Seg describes it",
            {
                **TEXT2SEG_PUBLISHED,
                **PUBLISHED_BOXES,
                **PUBLISHED_POINTS,
                **PUBLISHED_PROPOSALS,
                **PUBLISHED_CROPS,
                "branches": "boxes, points, crops",
                "combine": "union",
                "least_vote": 0.25,  # not read by the union, nor the weights
                "least_presence": 0.0,
                "boxes_weight": 1.0,
                "points_weight": 1.0,
                "crops_weight": 1.0,
                "points_per_side": 16,
                "crop_templates": "word",
                "points_nms_thresh": 1.0,
            },
        ),
    },
    makes_instances=objects_are_instances,
    checks=(check_overlap, check_stride, check_competitor, _check_branches),
)
