"""Every form in which models are published is imported, verified and run, through the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyogrio
import pytest
from command_line import run, write_noise
from published_layouts import (
    SIGLIP_COLOURS,
    in_shards,
    write_bin_only,
    write_both_formats,
    write_hf_clip,
    write_hf_sam,
    write_open_clip,
    write_original_dino,
    write_training_zip,
)
from tiny_detector import write_tiny_detector
from tiny_owl import write_tiny_owl

FAST = ("points_per_side=4", "templates=1", "box_threshold=0.05", "text_threshold=0.05", "heat_threshold=0")
GUESSED = "was loaded with GELU (its weights do not tell"


def renamed(path: Path, name: str) -> Path:
    return Path(shutil.copy(path, path.with_name(name)))


def all_forms(folder: Path) -> Path:
    """Write a CLIP as laion does: both layouts, each as .safetensors and as .bin."""
    write_hf_clip(folder, 3)
    write_open_clip(folder, "open_clip_pytorch_model.bin", 3)
    write_open_clip(folder, "open_clip_model.safetensors", 3, quick_gelu=True, preprocess_cfg=SIGLIP_COLOURS)
    shutil.copy(folder / "open_clip_pytorch_model.bin", folder / "pytorch_model.bin")
    return folder


# A SAM, a CLIP and a detector each, so that one run of text2seg loads and uses all three; and what the result notes.
Write = Callable[[Path], Path]
ROWS: dict[str, tuple[Write, Write, Write, str]] = {
    "snapshots of transformers": (
        lambda home: write_hf_sam(home / "sam-vit-tiny"),
        lambda home: write_hf_clip(home / "clip-vit-tiny-patch16", 3),
        lambda home: write_both_formats(home / "grounding-dino-tiny"),
        "",
    ),
    "old snapshots, a zip, and the repository's own detector": (
        lambda home: write_hf_sam(home / "sam-vit-old", as_bin=True),
        lambda home: write_training_zip(home / "SkyCLIP_ViT_L14_top30pct.zip"),
        lambda home: write_original_dino(home / "weights"),
        "",
    ),
    "shards, all forms of a CLIP, and a .bin alone": (
        lambda home: in_shards(write_hf_sam(home / "sam-vit-large")),
        lambda home: all_forms(home / "CLIP-ViT-X"),
        lambda home: write_bin_only(home / "dino-bin"),
        "",
    ),
    "single files and a detector in shards": (
        lambda home: renamed(write_hf_sam(home / "plain") / "model.safetensors", "medsam.safetensors"),
        lambda home: bare(home, "tuned.pt"),
        lambda home: in_shards(write_tiny_detector(home / "dino-shards").parent),
        GUESSED,
    ),
    "an OWL-ViT, and a RemoteCLIP": (
        lambda home: renamed(write_hf_sam(home / "plain") / "model.safetensors", "sam.safetensors"),
        lambda home: bare(home, "RemoteCLIP-ViT-L-14.pt"),
        lambda home: write_tiny_owl(home / "owlvit-tiny", "owlvit").parent,
        "was loaded with quick GELU (RemoteCLIP ViT-L-14: its authors' code builds it with GELU",
    ),
}  # fmt: skip


def bare(home: Path, name: str) -> Path:
    """Write the weights of a CLIP without anything beside them."""
    folder = write_open_clip(home / "bare", "open_clip_pytorch_model.bin")
    return folder.joinpath("open_clip_pytorch_model.bin").rename(home / name)


@pytest.mark.parametrize("row", ROWS)
def test_every_published_layout_is_imported_verified_and_run(row, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("RS_TEXTSEG_MODELS", str(tmp_path / "home"))
    (tmp_path / "given").mkdir()
    *writers, note = ROWS[row]
    assert run("models", "import", "mine", *(write(tmp_path / "given") for write in writers)) == 0
    shutil.rmtree(tmp_path / "given")  # a run needs nothing but the set
    capfd.readouterr()
    assert run("models", "verify", "mine") == 0
    said = capfd.readouterr().out.splitlines()
    roles = [line.split(":")[0] for line in said if not line.startswith("  ")]
    assert roles == ["sam", "clip", "detector", said[-1]]
    assert "text2seg" in said[-1]
    assert [note in line for line in said if line.startswith("  ")] == ([True] if note else [])

    scene, out = write_noise(tmp_path / "scene.tif", size=64), tmp_path / "out.gpkg"
    request = ("--text", "building, road", "--pipeline", "text2seg", "--models", "mine", "--out", out)
    assert run("segment", scene, *request, "--param", *FAST, "--device", "cpu", "--json") == 0
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]
    notes = [text for event in events for text in event.get("notes", ())]
    assert any(note in text for text in notes) or not note
    assert not any("CLIP" in text for text in notes) or note
    assert out.is_file()
    assert len(pyogrio.read_info(out)["fields"]) > 5
