"""Model sets that were imported: what is taken, and what they are verified to serve."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_upsamplers import published_state

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.loading.importing import import_set
from rs_textseg_plugin.engine.loading.sets import verify_set


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("RS_TEXTSEG_MODELS", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_set_is_verified_with_whatever_it_holds_and_says_which_pipelines_it_serves(home, tiny_models, tmp_path):
    torch.save({f"upsampler.{name}": value for name, value in published_state(32).items()}, tmp_path / "up.ckpt")
    import_set("dense", [tiny_models / "clip_tiny.pt", tmp_path / "up.ckpt"])
    import_set("both", sorted(tiny_models.iterdir()))
    lines = [line for line in verify_set("dense").splitlines() if not line.startswith("  ")]
    assert [line.split(":")[0] for line in lines] == ["clip", "upsampler", "It serves segearth-ov."]
    assert verify_set("both").endswith("It serves sam-clip, segearth-ov, surgery-sam, text2seg, vlm-sam.")
    import_set("alone", [tiny_models / "sam_tiny.pth"])
    assert verify_set("alone").endswith("It serves vlm-sam.")
    import_set("lonely", [tmp_path / "up.ckpt"])
    with pytest.raises(
        ModelError, match=r"'lonely' holds upsampler, which no method can work with alone .*sam-clip: sam and clip"
    ):
        verify_set("lonely")
