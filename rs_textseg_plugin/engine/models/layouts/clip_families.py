"""Published CLIPs whose files do not say how they were trained: activation, and mean and deviation of pictures.

A state dict has no trace of the activation. With the wrong one a model works, worse, and nothing fails: of RemoteCLIP
ViT-L-14 an outside measurement has recall 18.0 with GELU and 26.5 with quick GELU.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rs_textseg_plugin.engine.models.archives.digest import file_digest
from rs_textseg_plugin.engine.models.layouts.hub_names import name_of_folder
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision

ensure_torchvision()

import open_clip  # noqa: E402 (imports torchvision)

Colour = tuple[float, float, float]
# Names that say nothing of the model; there the folder's name is looked at.
GENERIC_NAMES = re.compile(
    r"(open_clip_)?(pytorch_)?model\.(safetensors|bin|pt)(\.index\.json)?|epoch_\w+\.pt", re.IGNORECASE
)


@dataclass(frozen=True)
class ClipFamily:
    """How a published CLIP was trained.

    Attributes:
        title: as its authors call it.
        quick_gelu: whether with the quick approximation of GELU.
        note: a sentence for results where this is not certain; empty: it is.
        mean, std: of red, green and blue, 0..1; None: not known.
    """

    title: str
    quick_gelu: bool
    note: str = ""
    mean: Colour | None = None
    std: Colour | None = None


_REMOTE_L = (
    "its authors' code builds it with GELU, an outside measurement found quick GELU better (recall 26.5 against 18.0)"
)
_GEO_L = "its authors do not say which; it probably was trained on from OpenAI's"

# Sources: RemoteCLIP: README of github.com/ChenDelong1999/RemoteCLIP. GeoRSCLIP: README and inference/inference.py of
# github.com/om-ai-lab/RS5M (B-32 begins as open_clip's "ViT-B/32" of OpenAI, H-14 as laion2b_s32b_b79k). SkyCLIP: the
# notebook of github.com/wangzhecheng/SkyScript (--force-quick-gelu for L14; B32 begins as laion2b_e16). DFN: the
# open_clip_config.json of apple/DFN* on Hugging Face. The digests are those of the files there.
_REMOTE_B, _REMOTE_L_14 = ClipFamily("RemoteCLIP", False), ClipFamily("RemoteCLIP ViT-L-14", True, _REMOTE_L)
_GEO_B, _GEO_L_14 = ClipFamily("GeoRSCLIP ViT-B-32", True), ClipFamily("GeoRSCLIP ViT-L-14", True, _GEO_L)
_OPENAI = ClipFamily("OpenAI's CLIP", True)
_BY_DIGEST = {  # in groups of eight, as everywhere
    "60014e39 5d930a3f 2963d1d8 9c8522bf 4ad56775 571e4356 e8668647 89af85c4": _REMOTE_B,
    "fcc2a7e2 1e171f4f fcb7a9c0 206b8b74 ac0c9eb8 3c67b576 958b7a4e d6c8cecb": _REMOTE_L_14,
    "129bafaa 6a097b8b e52e2bab f27d24f0 a934dae9 19201e53 8dc69861 1bd1ea01": _GEO_B,
    "ee59f4c8 87683eab 01a63890 2ee90bea 03ec7e1d 3689af1c 62182551 53ad3313": _GEO_B,
    "6f2324ce bcabb60e 148b1ae8 502bf247 fb0d03ca cf271ad2 535a4462 f2a8fb6d": _GEO_B,
    "4b869929 9b1e8997 753c64b0 52ba3203 1449d5d8 53f55a03 9148560e e02b820f": _OPENAI,
    "e6d1bd77 89aa4519 2b3bf905 70a789b4 78bae1b7 4ebcce7e ddd908e8 3a2b7c31": _OPENAI,
}
_BY_NAME = (
    (r"RemoteCLIP-ViT-L-14", _REMOTE_L_14),
    (r"RemoteCLIP-(ViT-B-32|RN50)", _REMOTE_B),
    (r"RS5M_ViT-B-32", _GEO_B),
    (r"RS5M_ViT-L-14", _GEO_L_14),
    (r"RS5M_ViT-H-14", ClipFamily("GeoRSCLIP ViT-H-14", False)),
    (r"SkyCLIP_ViT_L14|CLIP_ViT_L14_LAION_RS", ClipFamily("SkyCLIP ViT-L-14", True)),
    (r"SkyCLIP_ViT_B32", ClipFamily("SkyCLIP ViT-B-32", False)),
    (r"DFN2B-CLIP-ViT-L-14-39B", ClipFamily("DFN2B ViT-L-14 39B", False)),
    (r"DFN[25]B-CLIP", ClipFamily("DFN", True)),
    (r"metaclip(?!2).*altogether", ClipFamily("MetaCLIP Altogether", False)),
    (r"metaclip[-_](b|l|h|g)\d", ClipFamily("MetaCLIP", True)),
    (r"clip-vit-(base|large)-patch\d+", _OPENAI),
    (r"quick[-_]?gelu", ClipFamily("named so", True)),
)


def find_family(path: Path) -> ClipFamily | None:
    """Return the family of a checkpoint, by its digest, its name or that of its folder; None: it is not known.

    Raises:
        OSError: the file cannot be read.
    """
    names = [path.name, name_of_folder(path.parent)] if GENERIC_NAMES.fullmatch(path.name) else [path.name]
    for name in names:
        for pattern, family in _BY_NAME:
            if re.search(pattern, name, re.IGNORECASE):
                return family
        listed = _published_by_name().get(name.casefold())
        if listed:
            return listed
    digest = file_digest(path)
    return _BY_DIGEST.get(" ".join(digest[i : i + 8] for i in range(0, len(digest), 8)))


@lru_cache(maxsize=1)
def _published_by_name() -> dict[str, ClipFamily]:
    """Return what open_clip itself lists, by the name of the file or of the repository on Hugging Face."""
    found: dict[str, ClipFamily] = {}
    for architecture, tag in open_clip.list_pretrained():
        listed = open_clip.pretrained.get_pretrained_cfg(architecture, tag)
        family = ClipFamily(
            f"{architecture} {tag}", bool(listed.get("quick_gelu")), "", tuple(listed["mean"]), tuple(listed["std"])
        )
        # OpenAI's own files are TorchScript; another file of such a name may be anyone's.
        file = "" if tag == "openai" else listed.get("url", "").rpartition("/")[2]
        for name in filter(None, (file, *listed.get("hf_hub", "").split("/")[1:2])):
            found.setdefault(name.casefold(), family)
    return found


def colours_of(architecture: str) -> tuple[Colour, Colour] | None:
    """Return mean and deviation where all that open_clip lists of an architecture have the same; else None."""
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    listed = [open_clip.pretrained.get_pretrained_cfg(architecture, tag) for tag in tags]
    found = {(tuple(entry["mean"]), tuple(entry["std"])) for entry in listed}
    return found.pop() if len(found) == 1 else None
