"""What ``models list | verify`` do."""

from __future__ import annotations

import torch

from rs_textseg_plugin.contract.catalog import (
    ModelSet,
    known_sets,
    load_catalog,
    models_home,
)
from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.contract.pipelines.vlm_sam import VLM_FOLDER
from rs_textseg_plugin.contract.recipe import PIPELINES
from rs_textseg_plugin.engine.loading.files import ResolvedSet, resolve_set, verified_digest
from rs_textseg_plugin.engine.vlm.qwen.qwen_vl import load_qwen_vl


def describe_sets() -> str:
    """Return a table of the catalogue's sets and the imported ones, one line each."""
    listed = {entry.id: entry for entry in load_catalog()}
    known = known_sets()
    width = max(map(len, known))
    rows = [f"  {name:{width}}  {_describe(is_here, listed.get(name))}" for name, is_here in known.items()]
    return "\n".join([f"Model sets ({models_home()}):", *rows])


def _describe(is_here: bool, entry: ModelSet | None) -> str:
    if entry is None:
        return f"{'here':23}  imported"
    state = ("here" if is_here else "not fetched") + (", unverified" if entry.unverified else "")
    size = f"{entry.size_bytes / 1e6:,.0f} MB" + ("" if entry.is_size_known else " and more")
    licences = " and ".join(dict.fromkeys(file.licence for file in entry.files))
    return f"{state:23}  {size}, {licences}  {entry.title}"


def verify_set(name: str) -> str:
    """Load every checkpoint of a set once; return what was found, one line each, and what it serves.

    Raises:
        ModelError: one of them is damaged or foreign, or no pipeline has all that it needs.
    """
    roles = dict.fromkeys(role for info in PIPELINES.values() for role in (*info.roles, *info.optional_roles))
    resolved = resolve_set(name, (), tuple(roles))
    lines = []
    for checkpoint in resolved.checkpoints.values():
        checkpoint.load(torch.device("cpu"), torch.float32)
        lines.append(f"{checkpoint.role}: {checkpoint.path} is whole, SHA-256 {checkpoint.sha256}")
        lines += [f"  {note}" for note in checkpoint.notes]
    lines += _verify_vlm(resolved)
    served = [info.name for info in PIPELINES.values() if set(info.roles) <= set(resolved.checkpoints)]
    if not served:
        needs = "; ".join(f"{info.name}: {' and '.join(info.roles)}" for info in PIPELINES.values())
        raise ModelError(
            f"The model set {name!r} holds {' and '.join(resolved.checkpoints) or 'no checkpoint'}, which no method "
            f"can work with alone ({needs}): add what is missing."
        )
    return "\n".join([*lines, f"It serves {', '.join(served)}."])


def _verify_vlm(resolved: ResolvedSet) -> list[str]:
    """Load the vision-language model of a set, if it has one, after comparing its files with their entries."""
    folder = resolved.folder / VLM_FOLDER
    if not folder.is_dir():
        return []
    for file in resolved.described.all_files if resolved.described else ():
        if file.role == VLM_FOLDER:
            verified_digest(file, resolved.folder)
    load_qwen_vl(folder, None, torch.device("cpu"), torch.float32)
    return [f"vlm: {folder} is whole"]
