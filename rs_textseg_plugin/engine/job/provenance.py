"""How a result came about, in the words and values that go with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

import torch

from rs_textseg_plugin.contract.request import without_queries
from rs_textseg_plugin.contract.version import VERSION
from rs_textseg_plugin.engine.compute.device import describe
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.job.plan import Plan


def provenance_json(
    plan: Plan, control: RunControl, started: datetime, notes: Sequence[str], answered_by: Mapping[str, str]
) -> str:
    """Return all that is needed to repeat a result, as JSON text.

    Args:
        plan: what was done.
        control: of the run, for the device that it ended on.
        started: when.
        notes: what the result says of itself.
        answered_by: the vision-language model that answered, and how its numbers were read; empty: none was asked.
    """
    data = {
        "product": "RS TextSeg",
        "version": VERSION,
        "torch": torch.__version__,
        "started": started.isoformat(timespec="seconds"),
        "device": describe(control.device, control.dtype),
        "request": plan.request.to_be_kept(),
        "parameters": without_queries(plan.values),
        "models": {
            role: {"file": checkpoint.title, "sha256": checkpoint.sha256}
            for role, checkpoint in plan.models.checkpoints.items()
        },
        "demo_models": plan.models.is_demo,
        "unverified_models": [file.name for file in plan.models.unverified],
        **({"answered_by": dict(answered_by)} if answered_by else {}),
        "notes": list(notes),
    }
    return json.dumps(data, sort_keys=True)


def picture_footer(plan: Plan) -> str:
    """Return the footer of the map picture: method, models and version."""
    models = ", ".join(checkpoint.title for checkpoint in plan.models.checkpoints.values())
    demo = "Demo models: for trying the product, not for maps. " if plan.models.is_demo else ""
    return f"{demo}{plan.info.name} with {models}. RS TextSeg {VERSION}."
