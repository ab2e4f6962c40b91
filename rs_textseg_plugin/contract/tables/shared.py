"""Parameters that several methods have, the sources that they quote, and the checks that go with them."""

from __future__ import annotations

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.tables.parameter import Parameter, Values

SOSA = "Sosa et al. 2026, contrastive branch"
SEGEARTH = "SegEarth-OV (CVPR 2025), released configuration"
OURS = "our choice"
TEXT2SEG_PAPER = "Text2Seg (SIGSPATIAL GeoAI 2024)"
SURGERY = "CLIP Surgery (2023), released code"

# The result of a publication is a mask, pixel by pixel: nothing of it is dropped, filled or smoothed.
AS_A_MASK: Values = {"min_area_m2": 0.0, "fill_holes_m2": 0.0, "simplify_m": 0.0}

# As published, Text2Seg has tiles that do not overlap, one mask for each prompt, and one map
# of classes.
TEXT2SEG_PUBLISHED: Values = {"multimask": False, "overlap_px": 0, "objects": "regions", **AS_A_MASK}

# SegEarth-OV's released configuration, as far as other publications build on it.
SEGEARTH_PUBLISHED: Values = {
    "clip_long_side_px": 448,
    "clip_window_px": 224,
    "clip_stride_px": 112,
    "clip_resize": "plain",
    "window_blend": "mean",
    "attention": "self-self",
    "clip_positions": "bicubic",
    "cls_weight": 0.3,
    "logit_scale": 50.0,
    "templates": "80",
    "competitor": "background",
    "closed_list": True,
}

ATTENTIONS = ("self-self", "vanilla", "maskclip", "sclip", "clearclip", "gem")

# How CLIP looks at a tile densely; the same names and meanings wherever it does.
DENSE = (
    Parameter(
        "clip_long_side_px",
        448,
        "int",
        "Long side of a tile when CLIP looks at it densely; 0 keeps the working resolution.",
        SEGEARTH,
        0,
        8192,
    ),
    Parameter(
        "clip_resize",
        "smooth",
        "str",
        "How a tile becomes the picture that CLIP sees: smooth (bilinear over all pixels that one stands for), plain "
        "(bilinear between the nearest pixels, without antialiasing), square (bicubic, squashed to a square).",
        f"smooth: {OURS}; plain: {SEGEARTH} (OpenCV); square: {SURGERY}",
        choices=("smooth", "plain", "square"),
    ),
    Parameter("clip_window_px", 224, "int", "Side of CLIP's sliding window.", SEGEARTH, 32, 2048),
    Parameter("clip_stride_px", 112, "int", "Step of CLIP's sliding window.", SEGEARTH, 8, 2048),
    Parameter(
        "window_blend",
        "taper",
        "str",
        "How overlapping windows are joined: taper lets them fade into each other, mean averages them.",
        f"taper: {OURS}, it leaves no lines along window borders; mean: {SEGEARTH}",
        choices=("taper", "mean"),
    ),
    Parameter(
        "attention",
        "self-self",
        "str",
        "Attention in CLIP's last block: self-self (q-q + k-k + v-v), sclip (q-q + k-k), clearclip (q-q) and maskclip "
        "(each patch for itself), all without residual and MLP; gem (the last six blocks beside the trained path); "
        "vanilla (the block as trained).",
        f"self-self: {SEGEARTH}; sclip, clearclip, maskclip: as that code runs them; gem: GEM (CVPR 2024)",
        choices=ATTENTIONS,
    ),
    Parameter(
        "clip_positions",
        "bicubic",
        "str",
        "How CLIP's positional embedding is interpolated for a picture of another size than it was trained on.",
        f"bicubic: {SEGEARTH}; bilinear: {SURGERY}",
        choices=("bicubic", "bilinear"),
    ),
    Parameter(
        "cls_weight",
        0.3,
        "float",
        "How much of the global <CLS> answer is subtracted from each pixel's.",
        SEGEARTH,
        0,
        2,
    ),
)

TEMPLATES = Parameter(
    "templates",
    "80",
    "str",
    "Sentences that each word is put into: 80 (OpenAI's ImageNet set), 85 (with five more, as CLIP Surgery has them), "
    "7 (its short form), 1, or word (the word by itself).",
    SEGEARTH,
    choices=("80", "85", "7", "1", "word"),
    is_text_side=True,
)

GENERIC = "background"  # what SegEarth-OV's lists call everything else
VOCABULARY, NO_COMPETITOR = "vocabulary", "none"

COMPETITOR = Parameter(
    "competitor",
    VOCABULARY,
    "str",
    "What competes with the classes: vocabulary (the words that the model set knows, or a table of land cover and "
    "objects, less what was asked for and what means more or less the same), none, or words separated by '|', which "
    "count unless one of them is in the list.",
    f"vocabulary: {OURS}; background: {SEGEARTH}, where lists have one and single-class tasks are two-class",
    is_text_side=True,
)

COMPETING = (
    COMPETITOR,
    Parameter(
        "closed_list",
        False,
        "bool",
        "Whether the classes are all that there is, so that nothing else competes with a list of several.",
        f"true: {SEGEARTH}, where a list has no background; false: {OURS}",
        is_text_side=True,
    ),
)

MULTIMASK = Parameter(
    "multimask",
    False,
    "bool",
    "Whether SAM draws three masks for each prompt, of which the one that it rates best is taken; else it draws one.",
    f"false: {TEXT2SEG_PAPER}; true: {SURGERY}",
    is_text_side=True,
)

PROMPTS_PER_BATCH = Parameter(
    "prompts_per_batch",
    64,
    "int",
    "Prompts that go through SAM's decoder at once.",
    OURS,
    1,
    4096,
    is_text_side=True,
    follows_models=True,
)

TILING = (
    Parameter(
        "tile_px",
        1024,
        "int",
        "Side of a tile in working pixels.",
        "SAM's input size (segment-anything)",
        64,
        8192,
        follows_models=True,
    ),
    Parameter("overlap_px", 128, "int", "Overlap of neighbouring tiles in working pixels.", OURS, 0, 2048),
)

POLYGONS = (
    Parameter(
        "min_area_m2",
        1.0,
        "float",
        "Polygons whose pixels cover less are left out, in square metres on the ground, before the simplification.",
        OURS,
        0,
        is_text_side=True,
    ),
    Parameter(
        "fill_holes_m2",
        1.0,
        "float",
        "Smaller holes are filled, in square metres on the ground.",
        OURS,
        0,
        is_text_side=True,
    ),
    Parameter(
        "simplify_m",
        None,
        "float",
        "Tolerance of the simplification in metres; 0 keeps the pixel edges; auto is one working pixel.",
        OURS,
        0,
        is_text_side=True,
    ),
)


def check_overlap(values: Values) -> None:
    """Refuse tiles that overlap by more than half.

    Raises:
        RecipeError: they do.
    """
    tile_px, overlap_px = int(values["tile_px"] or 0), int(values["overlap_px"] or 0)
    if overlap_px > tile_px // 2:
        raise RecipeError(
            f"The parameter overlap_px={overlap_px} is more than half of tile_px={tile_px}: make it smaller."
        )


def check_stride(values: Values) -> None:
    """Refuse sliding windows with gaps between them.

    Raises:
        RecipeError: there are gaps.
    """
    stride_px, window_px = int(values["clip_stride_px"] or 0), int(values["clip_window_px"] or 0)
    if stride_px > window_px:
        raise RecipeError(
            f"The parameter clip_stride_px={stride_px} is larger than clip_window_px={window_px}, "
            "which would leave pixels unseen: make it smaller."
        )


def check_competitor(values: Values) -> None:
    """Refuse a competitor without a word.

    Raises:
        RecipeError: it has none.
    """
    if not str(values["competitor"]).strip(" |"):
        raise RecipeError("The parameter competitor names no word: write one, for example competitor=background.")


def objects_are_instances(values: Values) -> bool:
    """Whether the parameter ``objects`` asks for one polygon an object."""
    return values["objects"] == "instances"
