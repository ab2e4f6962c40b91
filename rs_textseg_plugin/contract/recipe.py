"""How: pipeline, models, parameters. Every default is written down here, with its source.

The tables are data for all faces of the product: the command line and the Processing algorithm check against
them, the dock builds its widgets from them, and provenance quotes them.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional, Union

from rs_textseg_plugin.contract.errors import RecipeError

ParameterValue = Union[int, float, str, bool, None]

_SAM = "SamAutomaticMaskGenerator default (segment-anything 1.0)"
_SOSA = "Sosa et al. 2026, contrastive branch"
_SEGEARTH = "SegEarth-OV (CVPR 2025), released configuration"
_OURS = "our choice"


@dataclass(frozen=True)
class Parameter:
    """One knob: its type is the type of its default, or `kind` where the default is None (decided by the engine).

    Attributes:
        name: as on the command line (``--param name=value``).
        default: the value when nothing is said.
        kind: ``int``, ``float``, ``str`` or ``bool``.
        minimum, maximum: inclusive bounds for numbers.
        choices: the only values allowed; empty: any.
        help: one sentence, with the unit.
        source: where the default comes from.
    """

    name: str
    default: ParameterValue
    kind: str
    help: str
    source: str
    minimum: Optional[float] = None
    maximum: Optional[float] = None
    choices: tuple[str, ...] = ()

    def read(self, value: ParameterValue) -> ParameterValue:
        """Return `value` in this parameter's type.

        Raises:
            RecipeError: it cannot be read so, or is out of bounds.
        """
        if value is None or (value == "auto" and self.default is None):
            return self.default
        try:
            typed = self._convert(value)
        except ValueError:
            raise RecipeError(f"The parameter {self.name}={value!r} is not understood: {self._wanted()}.") from None
        outside = isinstance(typed, (int, float)) and (
            (self.minimum is not None and typed < self.minimum) or (self.maximum is not None and typed > self.maximum)
        )
        if outside or (self.choices and typed not in self.choices):
            raise RecipeError(f"The parameter {self.name}={value!r} is out of its range: {self._wanted()}.")
        return typed

    def _convert(self, value: ParameterValue) -> ParameterValue:
        if self.kind == "bool":
            known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
            if str(value).lower() not in known:
                raise ValueError(value)
            return known[str(value).lower()]
        if self.kind == "str":
            return str(value)
        number = float(str(value))
        if not math.isfinite(number) or (self.kind == "int" and number != int(number)):
            raise ValueError(value)
        return int(number) if self.kind == "int" else number

    def _wanted(self) -> str:
        if self.choices:
            return f"choose one of {', '.join(self.choices)}"
        if self.kind == "bool":
            return "write true or false"
        bounds = ""
        if self.minimum is not None and self.maximum is not None:
            bounds = f" from {self.minimum:g} to {self.maximum:g}"
        elif self.minimum is not None:
            bounds = f" of at least {self.minimum:g}"
        noun = {"int": "a whole number", "float": "a number"}.get(self.kind, "a text")
        return f"write {noun}{bounds}"


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
            "vote_share",
            0.5,
            "float",
            "A mask takes the class of at least this share of its pixels, or none.",
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
