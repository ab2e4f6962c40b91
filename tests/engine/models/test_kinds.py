"""A new kind of model is a row: files of it are recognised, named, loaded, copied and cached without another change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rs_textseg_plugin.contract.catalog import models_home
from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.loading.files import resolve_set
from rs_textseg_plugin.engine.loading.importing import import_set
from rs_textseg_plugin.engine.loading.model_cache import ModelCache
from rs_textseg_plugin.engine.models.kinds import KINDS, ModelKind, kinds_in_words, require_role

CPU = torch.device("cpu")


@dataclass
class Heights:
    """A model of the new kind."""

    path: Path
    device: torch.device

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device


@pytest.fixture
def row(monkeypatch, tmp_path):
    monkeypatch.setenv("RS_TEXTSEG_MODELS", str(tmp_path / "models"))
    row = ModelKind(
        "heights",
        "height model",
        lambda shapes: "height_head.weight" in shapes,
        lambda path, architecture, device, dtype: Heights(path, device),
        files_beside=("config.json",),
    )
    monkeypatch.setitem(KINDS, "heights", row)
    return row


@pytest.fixture
def weights(tmp_path) -> Path:
    (tmp_path / "published").mkdir()
    path = tmp_path / "published" / "heights.safetensors"
    save_file({"height_head.weight": torch.ones(2, 3)}, path)
    path.with_name("config.json").write_text("{}")
    return path


def test_a_folder_with_it_is_a_set_and_its_model_is_loaded_once(row, weights):
    checkpoint = resolve_set(str(weights.parent), ("heights",)).checkpoints["heights"]
    cache = ModelCache()
    model = cache.get(checkpoint, CPU, torch.float32)
    assert model.path == weights
    assert cache.get(checkpoint, CPU, torch.float32) is model


def test_it_is_imported_with_what_lies_beside_it(row, weights):
    folder = import_set("mine", [weights])
    assert folder == models_home() / "mine"
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "heights.safetensors"]


def test_sentences_name_it(row):
    assert "height model" in kinds_in_words()
    with pytest.raises(ModelError, match=r"a\.pt is not a SAM checkpoint, it holds a height model model"):
        require_role({"height_head.weight": (2, 3)}, "sam", Path("a.pt"))


def test_without_the_row_the_file_is_of_no_kind(weights):
    with pytest.raises(ModelError, match=r"heights\.safetensors is no checkpoint of a kind that is known"):
        resolve_set(str(weights.parent), ("heights",))
