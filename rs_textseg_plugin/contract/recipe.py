"""How: pipeline, models, parameters. Every default is written down here, with its source.

The tables are data for all faces of the product: the command line and the Processing algorithm check against
them, the dock builds its widgets from them, and provenance quotes them.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.parameter import Parameter, ParameterValue

__all__ = [
    "PIPELINES",
    "PRESETS",
    "SAM_CLIP",
    "Parameter",
    "ParameterValue",
    "PipelineInfo",
    "Recipe",
    "find_pipeline",
    "find_preset",
    "wants_instances",
]

_SAM = "SamAutomaticMaskGenerator default (segment-anything 1.0)"
_SOSA = "Sosa et al. 2026, contrastive branch"
_SEGEARTH = "SegEarth-OV (CVPR 2025), released configuration"
_OURS = "our choice"


@dataclass(frozen=True)
class PipelineInfo:
    """A method as the user meets it.

    Attributes:
        name: its public name.
        title: how the dock calls it.
        summary: one sentence.
        source: the paper.
        roles: the kinds of model it needs (``sam``, ``clip``, ...).
        takes: ``classes`` or ``phrase``.
        parameters: what can be set.
    """

    name: str
    title: str
    summary: str
    source: str
    roles: tuple[str, ...]
    takes: str
    parameters: tuple[Parameter, ...]

    def read_parameters(self, given: Mapping[str, ParameterValue]) -> dict[str, ParameterValue]:
        """Return all parameters: the given ones checked, the others at their defaults.

        Raises:
            RecipeError: an unknown name, or a value that does not fit.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(name, known) or sorted(known)[:3]
                raise RecipeError(
                    f"The pipeline {self.name} has no parameter {name!r}: did you mean {' or '.join(near)}? "
                    "'segment --help' lists all of them."
                )
        return {name: parameter.read(given.get(name)) for name, parameter in known.items()}


TILING_AND_POLYGONS = (
    Parameter(
        "tile_px", 1024, "int", "Side of a tile in working pixels.", "SAM's input size (segment-anything)", 64, 8192
    ),
    Parameter("overlap_px", 128, "int", "Overlap of neighbouring tiles in working pixels.", _OURS, 0, 2048),
    Parameter(
        "objects",
        "auto",
        "str",
        "instances: one polygon per mask; regions: touching pixels of a class are one polygon; "
        "auto: instances for selector=crop, regions for selector=vote.",
        _OURS + "; the paper's result is a label map, which is 'regions'",
        choices=("auto", "instances", "regions"),
    ),
    Parameter(
        "min_area_m2",
        1.0,
        "float",
        "Polygons whose pixels cover less are left out, in square metres on the ground, before the simplification.",
        _OURS,
        0,
    ),
    Parameter("fill_holes_m2", 1.0, "float", "Smaller holes are filled, in square metres on the ground.", _OURS, 0),
    Parameter(
        "simplify_m",
        None,
        "float",
        "Tolerance of the simplification in metres; 0 keeps the pixel edges; auto is one working pixel.",
        _OURS,
        0,
    ),
)

SAM_CLIP = PipelineInfo(
    name="sam-clip",
    title="SAM + CLIP",
    summary="SAM proposes masks on a grid of points, CLIP decides what each of them is.",
    source="Sosa et al. 2026, Enabling Training-Free Text-Based Remote Sensing Segmentation, contrastive branch",
    roles=("sam", "clip"),
    takes="classes",
    parameters=(
        Parameter(
            "selector",
            "vote",
            "str",
            "vote: a dense CLIP map is computed and each mask takes its majority class; "
            "crop: CLIP looks at each masked crop.",
            f"vote: {_SOSA}; crop: Text2Seg, branch 3",
            choices=("vote", "crop"),
        ),
        Parameter(
            "points_per_side",
            20,
            "int",
            "Point prompts along each side of a tile.",
            f"{_SOSA}: 29 is best, 20 reaches 95 % of the gain (LoveDA) at 48 % of the prompts; default 20 is {_OURS}",
            1,
            128,
        ),
        Parameter("points_per_batch", 64, "int", "Point prompts that go through SAM's decoder at once.", _SAM, 1, 4096),
        Parameter("pred_iou_thresh", 0.88, "float", "Masks that SAM itself rates lower are dropped.", _SAM, 0, 1),
        Parameter(
            "stability_score_thresh", 0.95, "float", "Masks less stable against the cut-off are dropped.", _SAM, 0, 1
        ),
        Parameter("stability_score_offset", 1.0, "float", "Shift of the cut-off in logits for that test.", _SAM, 0),
        Parameter(
            "box_nms_thresh", 0.7, "float", "Of masks whose boxes overlap more (IoU), the best rated stays.", _SAM, 0, 1
        ),
        Parameter(
            "clip_long_side_px",
            448,
            "int",
            "Long side of a tile when CLIP looks at it densely; 0 keeps the working resolution.",
            f"{_SOSA}; {_SEGEARTH}",
            0,
            8192,
        ),
        Parameter("clip_window_px", 224, "int", "Side of CLIP's sliding window.", _SEGEARTH, 32, 2048),
        Parameter("clip_stride_px", 112, "int", "Step of CLIP's sliding window.", _SEGEARTH, 8, 2048),
        Parameter(
            "window_blend",
            "taper",
            "str",
            "How overlapping windows are joined: taper lets them fade into each other, mean averages them.",
            f"taper: {_OURS}, it leaves no lines along window borders; mean: {_SEGEARTH}",
            choices=("taper", "mean"),
        ),
        Parameter(
            "attention",
            "self-self",
            "str",
            "Attention in CLIP's last block: self-self (q-q + k-k + v-v, no residual, no MLP) or vanilla.",
            f"{_SEGEARTH}; not stated by {_SOSA}",
            choices=("self-self", "vanilla"),
        ),
        Parameter(
            "cls_weight",
            0.3,
            "float",
            "How much of the global <CLS> answer is subtracted from each pixel's.",
            f"{_SEGEARTH}; {_SOSA} uses the step without giving the value",
            0,
            2,
        ),
        Parameter(
            "logit_scale",
            None,
            "float",
            "Sharpness of the softmax over words; auto is 50 for vote and 100 for crop.",
            f"50: {_SEGEARTH}; 100: CLIP",
            0.01,
            1000,
        ),
        Parameter(
            "templates",
            "80",
            "str",
            "Sentences that each word is put into: 80 (OpenAI's ImageNet set), 7 (its short form) or 1.",
            f"{_SEGEARTH}; not stated by {_SOSA}",
            choices=("80", "7", "1"),
        ),
        Parameter(
            "prob_threshold",
            None,
            "float",
            "Pixels or crops whose best class is less probable stay without a class; "
            "auto is 0.1, and 0.6 where one class stands alone.",
            f"{_SEGEARTH}: 0.1 for most class lists, 0.6 to 0.8 for a single class",
            0,
            1,
        ),
        Parameter(
            "vote",
            "majority",
            "str",
            "majority: each mask takes the class of most of its pixels; soft: the mean probabilities inside the masks "
            "that cover a pixel, weighted by SAM's rating of each, are averaged with the pixel's own (selector=vote).",
            f"majority: {_SOSA}; soft: {_OURS}",
            choices=("majority", "soft"),
        ),
        Parameter(
            "vote_weight",
            1.0,
            "float",
            "How much a mask that SAM is sure of counts beside the pixel's own probability (vote=soft).",
            _OURS,
            0,
            100,
        ),
        Parameter(
            "vote_share",
            0.5,
            "float",
            "A mask takes the class of at least this share of its pixels, or none (vote=majority).",
            f"{_OURS}; {_SOSA} names a threshold without its value",
            0,
            1,
        ),
        Parameter(
            "uncovered",
            "clip",
            "str",
            "Pixels under no mask: clip takes the dense map's class, nothing leaves them out (selector=vote).",
            f"{_OURS}; not stated by {_SOSA}",
            choices=("clip", "nothing"),
        ),
        Parameter(
            "region_prompts",
            False,
            "bool",
            "Whether SAM is also asked what lies in the middle of each region of the dense map, which takes time for "
            "every question (selector=vote).",
            f"{_OURS}; {_SOSA} asks the grid of points only",
        ),
        Parameter(
            "region_min_px",
            12,
            "int",
            "Smaller regions are not asked for, in working pixels (region_prompts).",
            _OURS,
            1,
        ),
        Parameter(
            "region_max_points",
            200,
            "int",
            "At most so many regions of a tile are asked for, the largest first; the others are left out "
            "(region_prompts).",
            _OURS,
            0,
            10_000,
        ),
        Parameter(
            "competitor",
            "background",
            "str",
            "Words (separated by '|') that compete with a class that stands alone.",
            f"{_SEGEARTH}: single-class tasks are two-class",
        ),
        Parameter(
            "crop_background",
            "black",
            "str",
            "What a crop shows around its mask: black, mean (CLIP's mean colour) or image (selector=crop).",
            "Text2Seg, branch 3",
            choices=("black", "mean", "image"),
        ),
        *TILING_AND_POLYGONS,
    ),
)

PIPELINES: dict[str, PipelineInfo] = {SAM_CLIP.name: SAM_CLIP}

# Named parameter values of `SAM_CLIP`. "paper" is what Sosa et al. 2026 (contrastive branch) states, joined with
# SegEarth-OV where it builds on that; values equal to our defaults are there too, so that neither a model set nor a
# later default changes them. What the paper leaves open (vote_share, uncovered, thresholds) stays as in our table.
PRESETS: dict[str, Mapping[str, ParameterValue]] = {
    "paper": {
        "selector": "vote",
        "vote": "majority",
        "region_prompts": False,
        "points_per_side": 29,
        "clip_long_side_px": 448,
        "window_blend": "mean",
        "overlap_px": 0,  # the paper cuts large images into patches that do not overlap
        "objects": "regions",
    },
}


def find_preset(name: str) -> Mapping[str, ParameterValue]:
    """Return the parameters of that name; none for an empty name.

    Raises:
        RecipeError: there is no such preset.
    """
    if name and name not in PRESETS:
        raise RecipeError(f"There is no preset {name!r}: choose one of {', '.join(PRESETS)}.")
    return PRESETS.get(name, {})


def find_pipeline(name: str) -> PipelineInfo:
    """Return the pipeline of that name.

    Raises:
        RecipeError: there is none.
    """
    if name not in PIPELINES:
        raise RecipeError(f"There is no pipeline {name!r}: choose one of {', '.join(PIPELINES)}.")
    return PIPELINES[name]


@dataclass(frozen=True)
class Recipe:
    """How a query is answered.

    Attributes:
        pipeline: a name in `PIPELINES`.
        models: a set of the catalogue, or a folder with checkpoints.
        parameters: what differs from the defaults.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        precision: ``auto`` (bf16 on GPUs that have it, else fp32), ``fp32`` or ``bf16``.
    """

    pipeline: str = SAM_CLIP.name
    models: str = "demo"
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    device: str = "auto"
    precision: str = "auto"

    def checked_parameters(self) -> dict[str, ParameterValue]:
        """Return every parameter of the pipeline with its value.

        Raises:
            RecipeError: unknown pipeline or parameter, or a value that does not fit.
        """
        values = find_pipeline(self.pipeline).read_parameters(self.parameters)
        _check_together(values)
        return values

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Recipe:
        """Rebuild from what JSON makes of a `Recipe`."""
        return cls(**data)


def wants_instances(parameters: Mapping[str, ParameterValue]) -> bool:
    """Whether objects of one class stay apart where they touch, from all of a pipeline's parameters."""
    return parameters["objects"] == "instances" or (
        parameters["objects"] == "auto" and parameters.get("selector") == "crop"
    )


def _check_together(values: Mapping[str, Any]) -> None:
    """Refuse values that fit their own parameter and not each other."""
    if values["overlap_px"] > values["tile_px"] // 2:
        raise RecipeError(
            f"The parameter overlap_px={values['overlap_px']} is more than half of tile_px={values['tile_px']}: "
            "make it smaller."
        )
    stride_px, window_px = values.get("clip_stride_px", 0), values.get("clip_window_px", 0)
    if stride_px > window_px:
        raise RecipeError(
            f"The parameter clip_stride_px={stride_px} is larger than clip_window_px={window_px}, "
            "which would leave pixels unseen: make it smaller."
        )
    if not str(values.get("competitor", "background")).strip(" |"):
        raise RecipeError("The parameter competitor names no word: write one, for example competitor=background.")
