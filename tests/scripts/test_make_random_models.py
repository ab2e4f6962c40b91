"""Random checkpoints have the published layouts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from make_random_models import make_clip, write_models
from rs_textseg_plugin.engine.models.checkpoint import load_state_dict, shapes_of
from rs_textseg_plugin.engine.models.kinds import checkpoint_role

SMALL_CLIP = "ViT-S-32-alt"


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> list[Path]:
    return write_models(tmp_path_factory.mktemp("models") / "random", "vit_b", SMALL_CLIP)


def test_the_files_have_the_names_and_roles_of_published_ones(paths):
    assert [path.name for path in paths] == ["sam_vit_b_01ec64.pth", f"clip_{SMALL_CLIP}.pt"]
    assert [checkpoint_role(shapes_of(load_state_dict(path))) for path in paths] == ["sam", "clip"]


def test_the_published_package_takes_the_sam_file_as_it_is(paths):
    from segment_anything import sam_model_registry

    model = sam_model_registry["vit_b"](checkpoint=str(paths[0]))
    assert sum(parameter.numel() for parameter in model.parameters()) == 93_735_472  # SAM ViT-B


def test_the_weights_are_spread_and_the_same_each_time(paths):
    once, again = load_state_dict(paths[1]), make_clip(SMALL_CLIP).state_dict()
    assert once.keys() == again.keys()
    assert all(torch.equal(once[name], again[name]) for name in once)
    assert once["visual.conv1.weight"].std() > 0


def test_an_unknown_clip_model_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"'ViT-B-17'.*ViT-B-16"):
        write_models(tmp_path / "new", "vit_b", "ViT-B-17")
    assert not (tmp_path / "new").exists()
