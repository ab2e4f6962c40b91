"""The method ``grounding-sam`` and its parameters."""

from __future__ import annotations

from rs_textseg_plugin.contract.tables.parameter import Parameter, Values
from rs_textseg_plugin.contract.tables.pipeline_info import CLASSES, PipelineInfo, Preset
from rs_textseg_plugin.contract.tables.shared import (
    MULTIMASK,
    OURS,
    POLYGONS,
    PROMPTS_PER_BATCH,
    TEXT2SEG_PAPER,
    TEXT2SEG_PUBLISHED,
    TILING,
    check_overlap,
    objects_are_instances,
)

_DINO = "Grounding DINO, released code"

BOXES = (
    Parameter(
        "captions",
        "joint",
        "str",
        "joint: as many words as fit go through the detector together; words: each by itself, and its boxes are of "
        "that word whatever text_threshold says.",
        f"joint: {OURS}, one pass for many words; words: {TEXT2SEG_PAPER}",
        choices=("joint", "words"),
        is_text_side=True,
    ),
    Parameter(
        "box_threshold",
        0.35,
        "float",
        "Boxes none of whose words fits better are dropped.",
        f"{TEXT2SEG_PAPER}; {_DINO}",
        0,
        1,
        is_text_side=True,
    ),
    Parameter(
        "text_threshold",
        0.25,
        "float",
        "A word that fits a box no better does not name it; a box that no word names is dropped (captions=joint).",
        f"{TEXT2SEG_PAPER}; {_DINO}",
        0,
        1,
        is_text_side=True,
    ),
    Parameter(
        "box_duplicates",
        0.7,
        "float",
        "Of boxes of one class that overlap more (IoU) the best one stays: in a tile and, with objects=instances, "
        "across tiles.",
        f"{OURS}; {TEXT2SEG_PAPER} keeps all, which is 1",
        0,
        1,
        is_text_side=True,
    ),
    Parameter(
        "cut_boxes",
        True,
        "bool",
        "Whether boxes are cut at the tile's border before SAM is given them.",
        f"true: {OURS}; false: {TEXT2SEG_PAPER}",
        is_text_side=True,
    ),
    Parameter(
        "box_prompt",
        "box",
        "str",
        "What SAM is given: box, or middle, the point in the middle of the box, of whose three masks the one that fits "
        "the box best is taken: for rough boxes, and for a SAM that knows points better than boxes.",
        f"box: {TEXT2SEG_PAPER}; middle: {OURS}",
        choices=("box", "middle"),
        is_text_side=True,
    ),
)

# Each prompt is a caption of its own; the text threshold only words the label there, and drops nothing.
PUBLISHED_BOXES: Values = {
    "captions": "words",
    "box_threshold": 0.35,
    "text_threshold": 0.25,
    "box_duplicates": 1.0,
    "cut_boxes": False,
    "box_prompt": "box",
}

INFO = PipelineInfo(
    name="grounding-sam",
    title="Grounding DINO + SAM",
    summary="Grounding DINO puts a box around each thing that the words name, and SAM draws what is in it.",
    source="Text2Seg (SIGSPATIAL GeoAI 2024), branch 1; Grounding DINO (ECCV 2024)",
    roles=("sam", "detector"),
    takes=CLASSES,
    position=30,
    answers_phrases=True,
    parameters=(
        *BOXES,
        MULTIMASK,
        PROMPTS_PER_BATCH,
        *TILING,
        Parameter(
            "objects",
            "instances",
            "str",
            "instances: one polygon per box; regions: touching pixels of a class are one polygon.",
            f"regions: {TEXT2SEG_PAPER}; instances: {OURS}",
            choices=("instances", "regions"),
            is_text_side=True,
        ),
        *POLYGONS,
    ),
    presets={
        # Text2Seg's first branch as it is described: one pass a word, every box above the box threshold is that word's,
        # one mask each, their union.
        "grounding-published": Preset("as Text2Seg describes it", {**TEXT2SEG_PUBLISHED, **PUBLISHED_BOXES}),
    },
    makes_instances=objects_are_instances,
    checks=(check_overlap,),
)
