"""Named parameter values, each for one pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.parameter import ParameterValue


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


PRESETS: dict[str, Preset] = {
    # What Sosa et al. 2026 (contrastive branch) states, joined with SegEarth-OV where it builds on that. What the
    # paper leaves open (vote_share, uncovered, thresholds) stays as in our table.
    "paper": Preset(
        "sam-clip",
        "as Sosa et al. 2026 describe it",
        {
            "selector": "vote",
            "vote": "majority",
            "region_prompts": False,
            "points_per_side": 29,
            "clip_long_side_px": 448,
            "window_blend": "mean",
            "overlap_px": 0,  # the paper cuts large images into patches that do not overlap
            "objects": "regions",
        },
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
            f"choose {' or '.join(fitting) or 'none'}, or --pipeline {PRESETS[name].pipeline}."
        )
    return PRESETS[name].values
