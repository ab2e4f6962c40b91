"""Writes what the trainings reached as a model set, and their curves as a picture."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from rs_textseg_plugin.engine.models.archives.digest import file_digest
from rs_textseg_plugin.engine.models.checkpoint import read_metadata
from scenes.words import CLASSES
from training import clip_training, sam_training
from training.detector_training import write_detector
from training.loop import read_log
from training.vocabulary import UNKNOWN_TOKEN

mpl.use("Agg")

import matplotlib.pyplot as plt  # after the choice of a backend that needs no display

CLIP_FILE, SAM_FILE, UPSAMPLER_FILE = "clip_demo.safetensors", "sam_demo.safetensors", "upsampler_demo.safetensors"
DETECTOR_FILE = "detector/model.safetensors"
TITLE = "Demo (small, trained on drawn scenes only)"
# What fits these models, found on drawn scenes that no training saw (see the model card).
RECIPE: dict[str, Any] = {
    "tile_px": 256,
    "overlap_px": 64,
    "clip_long_side_px": 0,
    "clip_window_px": 256,
    "clip_stride_px": 128,
    "points_per_side": 12,
    "pred_iou_thresh": 0.5,
    "stability_score_thresh": 0.7,
    "cls_weight": 0.0,
    "heat_attention": "self-self",
    "box_threshold": 0.4,
    "text_threshold": 0.4,
    "box_duplicates": 0.5,
    "box_prompt": "middle",
    "least_vote": 0.15,
    "least_presence": 0.4,
    "boxes_weight": 3.0,
    "points_weight": 2.0,
    "crops_weight": 0.5,
    "min_area_m2": 4.0,
    "fill_holes_m2": 4.0,
}


def export(work: Path, target: Path, start: Mapping[str, Mapping[str, Tensor]] = MappingProxyType({})) -> list[Path]:
    """Write the checkpoints (float16) of all trainings and ``models.json`` to `target`; return the files.

    An upsampler that lies there stays in the set if it was trained for that very CLIP.

    Args:
        work: the trainings' folder.
        target: existing or new.
        start: weights by the trainings' names, for those that have not begun.

    Raises:
        FileNotFoundError: a training has not begun, and there is nothing to start from.
    """
    weights = {name: _weights(work, name, start) for name in ("clip", "sam", "detector")}
    target.mkdir(parents=True, exist_ok=True)
    clip, sam = target / CLIP_FILE, target / SAM_FILE
    config = json.dumps(clip_training.CONFIG)
    save_file(_halved(weights["clip"]), clip, {"clip_config": config})
    save_file(_halved(weights["sam"]), sam, sam_training.CONFIG.to_metadata())
    for path in (clip, sam):
        path.chmod(0o644)  # safetensors keeps what it writes to itself
    detector = write_detector(weights["detector"], target / Path(DETECTOR_FILE).parent)
    return [clip, sam, detector, write_manifest(target)]


def write_manifest(target: Path) -> Path:
    """Write ``models.json`` for the checkpoints in a folder; return its path."""
    files = {"sam": SAM_FILE, "clip": CLIP_FILE, "detector": DETECTOR_FILE}
    upsampler = target / UPSAMPLER_FILE
    if upsampler.is_file() and read_metadata(upsampler).get("clip_sha256") == file_digest(target / CLIP_FILE):
        files["upsampler"] = UPSAMPLER_FILE
    manifest = target / "models.json"
    entries = [_entry(role, target, name) for role, name in files.items()]
    manifest.write_text(json.dumps(_manifest(entries), indent=2) + "\n", encoding="utf-8")
    return manifest


def trained(work: Path, name: str) -> dict[str, Tensor] | None:
    """Return the weights that a training has reached; None: it has not begun."""
    path = work / f"{name}.state.pt"
    return dict(torch.load(path, weights_only=True, map_location="cpu")["model"]) if path.is_file() else None


def exported(folder: Path) -> dict[str, dict[str, Tensor]]:
    """Return the weights (float32) in a folder that `export` wrote, by the trainings' names.

    Raises:
        FileNotFoundError: a file is missing.
    """
    files = {"clip": CLIP_FILE, "sam": SAM_FILE, "detector": DETECTOR_FILE}
    states = {name: load_file(folder / file) for name, file in files.items()}
    return {name: {key: value.float() for key, value in state.items()} for name, state in states.items()}


def _weights(work: Path, name: str, start: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
    """Return what is written of a training: what it reached, or what it would start from."""
    state = trained(work, name)
    if state is not None:
        return {"clip": clip_weights, "sam": sam_weights}.get(name, dict)(state)
    if name not in start:
        raise FileNotFoundError(f"The training {name!r} has not begun: there is no {name}.state.pt in {work}.")
    return start[name]


def clip_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return CLIP's weights in which every token that was never seen is the one that stood for all of them."""
    known = clip_training.find_known_tokens(clip_training.build_clip()[1])
    table = state["token_embedding.weight"].clone()
    table[~known] = state["token_embedding.weight"][UNKNOWN_TOKEN]
    return {**state, "token_embedding.weight": table}


def sam_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return SAM's weights without the heads that were there for the training."""
    return {name.removeprefix("sam."): value for name, value in state.items() if name.startswith("sam.")}


def _halved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.to(torch.float16).contiguous() for name, value in state.items()}


def _manifest(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "id": "demo",
        "title": TITLE,
        "pipelines": ["sam-clip", "segearth-ov", "grounding-sam", "surgery-sam", "text2seg", "vlm-sam"],
        "paper": "None: trained by scripts/train_demo_models.py, see the model card beside this file.",
        "is_demo": True,
        "ground_resolution_m": [0.2, 0.3],
        "words": list(CLASSES),
        "parameters": RECIPE,
        "files": list(entries),
    }


def _entry(role: str, target: Path, name: str) -> dict[str, Any]:
    path = target / name
    entry = {"role": role, "name": name, **_content(path), "licence": "GPL-2.0-or-later"}
    if path.parent == target:
        return entry
    beside = sorted(other for other in path.parent.iterdir() if other != path)
    return {**entry, "beside": [{"name": other.name, **_content(other)} for other in beside]}


def _content(path: Path) -> dict[str, Any]:
    digest = file_digest(path)
    # In groups of eight, so that nothing takes it for a secret.
    return {"size_bytes": path.stat().st_size, "sha256": " ".join(digest[i : i + 8] for i in range(0, len(digest), 8))}


def draw_curves(work: Path, picture: Path) -> Path:
    """Draw the logs that are there side by side into a PNG and return its path."""
    picture.parent.mkdir(parents=True, exist_ok=True)
    prompts = ("oracle", "point", "box", "point in box")
    panels = (
        ("clip", "CLIP: dense map, windows not trained on", ("accuracy", "miou")),
        ("sam", "SAM: mean IoU, windows not trained on", prompts),
        ("detector", "Detector: boxes at IoU 0.5", ("precision", "recall", "f1")),
    )
    logs = [(read_log(work, name), title, figures) for name, title, figures in panels]
    logs = [panel for panel in logs if panel[0]]
    figure, axes = plt.subplots(1, len(logs), figsize=(4.3 * len(logs), 3.6), constrained_layout=True, squeeze=False)
    for axis, (log, title, figures) in zip(axes[0], logs):
        _draw(axis, log, title, figures)
    figure.savefig(picture, dpi=110)
    plt.close(figure)
    return picture


def _draw(axis: Any, log: Sequence[Mapping[str, Any]], title: str, names: Sequence[str]) -> None:
    minutes = [line["spent_s"] / 60 for line in log]
    for name in names:
        axis.plot(minutes, [line.get(name, math.nan) for line in log], label=name)
    axis.set(title=title, xlabel="minutes of training", ylim=(0, 1))
    axis.grid(alpha=0.3)
    axis.legend(loc="best")
