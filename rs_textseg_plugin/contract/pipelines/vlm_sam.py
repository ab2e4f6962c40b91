"""The method ``vlm-sam`` and its parameters."""

from __future__ import annotations

from dataclasses import replace

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.tables.parameter import Parameter, Values
from rs_textseg_plugin.contract.tables.pipeline_info import PHRASE, PipelineInfo, Preset
from rs_textseg_plugin.contract.tables.shared import (
    AS_A_MASK,
    COMPETITOR,
    OURS,
    POLYGONS,
    TEMPLATES,
    TILING,
    check_competitor,
    check_overlap,
    objects_are_instances,
)

VLM_FOLDER = "vlm"  # in a model set
MOST_OBJECTS = 1000  # in one picture; SAM draws so many in seconds, and 20,000 took a minute

_SOSA = "Sosa et al. 2026, generative branch"

_MODEL = (
    Parameter(
        "base_url",
        "",
        "str",
        "Address of an OpenAI-compatible server, such as http://localhost:8000/v1; empty: a model on this machine.",
        f"{OURS}: nothing leaves the machine unless asked",
        is_text_side=True,
        follows_models=True,
    ),
    Parameter(
        "model",
        "",
        "str",
        "Name of the model on that server.",
        f"none; {_SOSA} asks GPT-5",
        is_text_side=True,
        follows_models=True,
    ),
    Parameter(
        "vlm",
        "",
        "str",
        "Folder with a Qwen2.5-VL or Qwen3-VL in Hugging Face layout; empty: the folder 'vlm' in the model set.",
        f"none; {_SOSA} tunes Qwen3-VL-2B",
        is_text_side=True,
        follows_models=True,
    ),
    Parameter(
        "adapter",
        "",
        "str",
        "Folder with a LoRA adapter for it; empty: none.",
        f"none; {_SOSA} trains one",
        is_text_side=True,
        follows_models=True,
    ),
    Parameter(
        "convention",
        "auto",
        "str",
        "What the model's numbers mean: pixels of the picture that it is shown, or a grid of 0 to 1000 over it, with x "
        "before y or (yx) y before x; auto goes by the model's family, else by the self-test.",
        "Qwen2.5-VL: pixels; Qwen2-VL, Qwen3-VL, GLM-V, InternVL and Seed: grid-1000; Gemini: grid-1000-yx",
        choices=("auto", "pixels", "grid-1000", "grid-1000-yx"),
        is_text_side=True,
        follows_models=True,
    ),
    Parameter(
        "max_tokens",
        4096,
        "int",
        "Longest answer, in tokens, hidden reasoning included; where that leaves none for the answer, the question is "
        "asked once more with four times as many.",
        OURS,
        16,
        65_536,
        is_text_side=True,
        follows_models=True,
    ),
    Parameter(
        "timeout_s",
        120.0,
        "float",
        "How long a server may take to answer, in seconds.",
        OURS,
        1,
        3600,
        is_text_side=True,
        follows_models=True,
    ),
    Parameter(
        "allow_plain_http",
        False,
        "bool",
        "Whether the key may go to a server on another machine over http, where others on the way can read it; a model "
        "set cannot say so.",
        f"{OURS}: a key that was overheard is lost",
        is_text_side=True,
        is_users_own=True,
    ),
    Parameter(
        "tries",
        3,
        "int",
        "How often a server that is busy or fails is asked.",
        OURS,
        1,
        10,
        is_text_side=True,
        follows_models=True,
    ),
)

_VIEW = (
    Parameter(
        "view",
        "auto",
        "str",
        "whole: the extent is one picture, made coarser where it is larger than view_px; sweep: overlapping pictures "
        "of tile_px; auto: whole if the extent fits view_px at the working resolution, else sweep.",
        f"whole: {_SOSA} (its data sets are pictures); sweep and auto: {OURS}",
        choices=("auto", "whole", "sweep"),
    ),
    Parameter("view_px", 1024, "int", "Longest side of a whole view, in working pixels.", OURS, 64, 4096),
)

_CLICKS = (
    Parameter(
        "prompts",
        "box-and-points",
        "str",
        "What of the model's answer goes to SAM; what an answer lacks is left out.",
        f"points: {_SOSA}; box-and-points: {OURS}",
        choices=("box-and-points", "points", "box"),
        is_text_side=True,
    ),
    Parameter(
        "inside_points",
        3,
        "int",
        "Points on each object that the model is asked for.",
        f"{OURS}; {_SOSA} has six clicks in all",
        0,
        20,
        is_text_side=True,
    ),
    Parameter(
        "outside_points",
        0,
        "int",
        "Points beside each object that the model is asked for.",
        f"{OURS}; {_SOSA} uses some, how many of the six is not said",
        0,
        20,
        is_text_side=True,
    ),
    Parameter(
        "most_objects",
        50,
        "int",
        "Objects that the model is asked for in one picture at most.",
        OURS,
        1,
        MOST_OBJECTS,
        is_text_side=True,
    ),
    Parameter(
        "multimask",
        True,
        "bool",
        "Whether SAM draws three masks for each object, of which the best rated is taken; else it draws one.",
        OURS,
        is_text_side=True,
    ),
    Parameter(
        "clicks",
        "",
        "str",
        "GeoJSON file with boxes and points as this method writes it; SAM draws them, and no model is asked.",
        OURS,
        is_text_side=True,
    ),
)

_CHECKS = (
    Parameter(
        "self_test",
        "auto",
        "str",
        "Whether the model is first shown a drawn picture with known marks, which costs one question; a systematic "
        "shift or scale of its answers is corrected. auto: where nothing settles what its numbers mean, which the "
        "marks then decide.",
        OURS,
        choices=("auto", "true", "false"),
        is_text_side=True,
        follows_models=True,
    ),
    Parameter(
        "verify",
        False,
        "bool",
        "Whether CLIP looks at each mask once more; where the phrase is too improbable against the competitor's words, "
        "the mask is dropped.",
        OURS,
        is_text_side=True,
    ),
    Parameter(
        "verify_threshold",
        0.5,
        "float",
        "Probability below which CLIP drops a mask (verify=true).",
        OURS,
        0,
        1,
        is_text_side=True,
    ),
    replace(TEMPLATES, help=f"{TEMPLATES.help[:-1]} (verify=true)."),
    replace(
        COMPETITOR,
        default="background",
        help="Words (separated by '|') that the phrase has to win against (verify=true).",
        source=OURS,
    ),
    Parameter(
        "duplicates",
        0.7,
        "float",
        "Of masks that overlap more (IoU; of their boxes across tiles), the surer one stays.",
        OURS,
        0,
        1,
        is_text_side=True,
    ),
)


def _check_model(values: Values) -> None:
    if values["base_url"] and values["vlm"]:
        raise RecipeError(
            f"The parameters base_url={values['base_url']} and vlm={values['vlm']} name two models: keep one of them."
        )
    if values["base_url"] and not values["model"]:
        raise RecipeError(
            f"The parameter base_url={values['base_url']} needs the name of a model on that server: add model=NAME."
        )


INFO = PipelineInfo(
    name="vlm-sam",
    title="SAM + vision-language model",
    summary="A vision-language model answers a question with boxes and points, and SAM draws what they mean.",
    source="Sosa et al. 2026, generative branch",
    roles=("sam",),
    takes=PHRASE,
    position=60,
    parameters=(
        *_MODEL,
        *_VIEW,
        *_CLICKS,
        *_CHECKS,
        *TILING,
        Parameter(
            "objects",
            "instances",
            "str",
            "instances: one polygon per object of the answer; regions: touching ones are joined.",
            OURS,
            choices=("instances", "regions"),
            is_text_side=True,
        ),
        *POLYGONS,
    ),
    optional_roles={"clip": ""},
    remark_field="answer",
    presets={
        # Six clicks, some of them beside the object, on one picture. How many of the six are where is not said, nor how
        # the model is asked for them. Which model that is, and how it is reached, stays with the user and the set.
        "vlm-published": Preset(
            "six clicks, as Sosa et al. 2026 describe it",
            {
                **AS_A_MASK,
                "view": "whole",
                "view_px": 1024,
                "prompts": "points",
                "inside_points": 4,
                "outside_points": 2,
                "most_objects": 50,
                "multimask": True,
                "clicks": "",
                "verify": False,
                "verify_threshold": 0.5,  # not read without a verification, nor templates and competitor
                "templates": "80",
                "competitor": "background",
                "duplicates": 0.7,
                "overlap_px": 0,  # not read where the extent is one picture
                "objects": "instances",
            },
        ),
    },
    asks_model=True,
    may_send_pictures=True,
    looks_at_whole_views=True,
    makes_instances=objects_are_instances,
    checks=(check_overlap, check_competitor, _check_model),
)
