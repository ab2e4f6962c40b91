"""Activation and colours of a CLIP: as written, as its family has them, or a guess that is noted."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from published_layouts import SIGLIP_COLOURS, write_open_clip
from safetensors.torch import save_file
from tiny_models import CLIP_CONFIG, open_clip, tiny_clip

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.models.archives.digest import file_digest
from rs_textseg_plugin.engine.models.checkpoint import shapes_of
from rs_textseg_plugin.engine.models.clip import MEAN, STD, load_clip, notes_on_clip
from rs_textseg_plugin.engine.models.layouts import clip_families
from rs_textseg_plugin.engine.models.layouts.clip_description import describe_clip

CPU = torch.device("cpu")
QUICK, PLAIN, UNSURE = (True, ""), (False, ""), (True, "was loaded with quick GELU (")


@pytest.fixture(scope="module")
def state():
    return tiny_clip(3).state_dict()


def described(path, shapes):
    """Return the description of a file that only has to be there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"a": torch.zeros(1)}
    save_file(content, path) if path.suffix == ".safetensors" else torch.save(content, path)
    return describe_clip(path, shapes, "")


def test_pictures_are_shown_as_open_clip_s_own_preprocessing_shows_them(tmp_path):
    """To 1e-6, for a model with SigLIP's colours."""
    folder = write_open_clip(tmp_path / "like-siglip", quick_gelu=True, preprocess_cfg=SIGLIP_COLOURS)
    clip = load_clip(folder / "open_clip_model.safetensors", "", CPU, torch.float32)
    shown = open_clip.image_transform(64, is_train=False, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    expected = torch.stack([shown(Image.fromarray(picture)) for picture in pixels])
    np.testing.assert_allclose(clip.padded_picture(pixels[1]), expected[1], atol=1e-6)
    with torch.inference_mode():
        features = clip.model.encode_image(expected, normalize=True)
    np.testing.assert_allclose(clip.embed_pictures(pixels), features, atol=1e-6)
    assert clip.mean_colour == (128, 128, 128)


def test_the_activation_is_that_of_the_configuration_beside(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    for quick_gelu in (True, False):
        folder = write_open_clip(tmp_path / str(quick_gelu), seed=7, quick_gelu=quick_gelu)
        path = folder / "open_clip_model.safetensors"
        torch.manual_seed(0)
        theirs = open_clip.CLIP(**CLIP_CONFIG, quick_gelu=quick_gelu).eval()
        clip = load_clip(path, "", CPU, torch.float32)
        theirs.load_state_dict(clip.model.state_dict())
        with torch.inference_mode():
            expected = theirs.encode_image((torch.tensor(pixels).permute(0, 3, 1, 2) / 255 - MEAN) / STD, True)
        np.testing.assert_allclose(clip.embed_pictures(pixels), expected, atol=1e-6)
        assert notes_on_clip(path, "") == ()


def test_published_families_are_known_by_name(tmp_path, state, subtests):
    rows = (
        ("RS5M_ViT-B-32.pt", QUICK),
        ("RS5M_ViT-B-32_RSICD.pt", QUICK),
        ("RS5M_ViT-H-14.pt", PLAIN),
        ("RS5M_ViT-L-14.pt", UNSURE),
        ("SkyCLIP_ViT_L14_top30pct.pt", QUICK),
        ("SkyCLIP_ViT_B32_top50pct/epoch_20.pt", PLAIN),
        ("RemoteCLIP-ViT-B-32.pt", PLAIN),
        ("RemoteCLIP-ViT-L-14.pt", UNSURE),
        ("b32_400m.pt", QUICK),
        ("metaclip-b16-fullcc2.5b/pytorch_model.bin", QUICK),
        ("DFN2B-CLIP-ViT-B-16/open_clip_pytorch_model.bin", QUICK),
        ("DFN2B-CLIP-ViT-L-14-39B/open_clip_pytorch_model.bin", PLAIN),
        ("vit_base_patch16_clip_224.openai/open_clip_model.safetensors", QUICK),
        ("models--apple--DFN2B-CLIP-ViT-B-16/snapshots/0a1b/open_clip_pytorch_model.bin", QUICK),
        ("CLIP-ViT-B-16-laion2B-s34B-b88K/open_clip_model.safetensors", PLAIN),
        ("vit_b_32-quickgelu-laion400m_e32-46683a32.pt", QUICK),
        ("ViT-B-16.pt", (False, "was loaded with GELU (its weights do not tell")),  # no archive, so not OpenAI's
        ("tuned.pt", (False, "was loaded with GELU (its weights do not tell")),
    )
    for name, (quick_gelu, words) in rows:
        with subtests.test(name):
            found = described(tmp_path / name, shapes_of(state))
            assert found.config["quick_gelu"] == quick_gelu
            assert bool(found.notes) == bool(words)
            assert all(words in note and "open_clip_config.json" in note for note in found.notes)


def test_colours_of_published_families_are_known_by_name(tmp_path, state):
    folder = tmp_path / "CLIP-ViT-L-14-laion2B-s32B-b82K"
    assert described(folder / "open_clip_model.safetensors", shapes_of(state)).mean == (0.5, 0.5, 0.5)
    assert described(tmp_path / "tuned.pt", shapes_of(state)).mean == open_clip.OPENAI_DATASET_MEAN


def test_a_renamed_file_is_known_by_its_digest(tmp_path, state, monkeypatch):
    torch.save(state, tmp_path / "renamed.pt")
    digest = file_digest(tmp_path / "renamed.pt")
    family = next(family for key, family in clip_families._BY_DIGEST.items() if key.startswith("129bafaa "))
    grouped = " ".join(digest[i : i + 8] for i in range(0, 64, 8))
    monkeypatch.setitem(clip_families._BY_DIGEST, grouped, family)
    found = describe_clip(tmp_path / "renamed.pt", shapes_of(state), "")
    assert (found.config["quick_gelu"], found.notes) == (True, ())
    assert all(len(key.replace(" ", "")) == 64 and key.count(" ") == 7 for key in clip_families._BY_DIGEST)


def test_a_guess_names_the_architecture_to_write(tmp_path):
    with torch.device("meta"):
        shapes = shapes_of(open_clip.CLIP(**open_clip.get_model_config("ViT-B-32")).state_dict())
    (note,) = described(tmp_path / "tuned.pt", shapes).notes
    assert 'write "architecture": "ViT-B-32-quickgelu" or "ViT-B-32" for it in models.json' in note
    torch.save({"a": torch.zeros(1)}, tmp_path / "tuned.pt")
    named = describe_clip(tmp_path / "tuned.pt", shapes, "ViT-B-32-quickgelu")
    assert (named.config["quick_gelu"], named.notes) == (True, ())


def test_a_size_that_the_model_does_not_have_is_noted(tmp_path):
    cfg = {**SIGLIP_COLOURS, "size": [96, 96]}
    folder = write_open_clip(tmp_path / "clip", quick_gelu=True, preprocess_cfg=cfg)
    (note,) = notes_on_clip(folder / "open_clip_model.safetensors", "")
    assert "pictures of 64 px, for which it was built; preprocess_cfg asks for 96 px" in note


def test_colours_that_are_no_three_numbers_are_refused_in_words(tmp_path):
    folder = write_open_clip(tmp_path / "clip", preprocess_cfg={"mean": [0.5, 0.5]})
    with pytest.raises(ModelError, match=r"is \[0\.5, 0\.5\], not three numbers"):
        load_clip(folder / "open_clip_model.safetensors", "", CPU, torch.float32)


def test_a_vocabulary_that_is_not_clip_s_own_is_refused_without_a_configuration(tmp_path, state):
    shapes = {**shapes_of(state), "token_embedding.weight": (32000, 64)}
    with pytest.raises(ModelError, match=r"a vocabulary of 32000 and not CLIP's own of 49408"):
        described(tmp_path / "siglip.pt", shapes)


def test_an_archive_named_after_a_resnet_keeps_what_its_name_says(tmp_path):
    found = described(tmp_path / "my-RN50-quickgelu.pt", {"visual.layer1.0.conv1.weight": (1, 1, 1, 1)})
    assert (found.config["quick_gelu"], found.notes) == (True, ())
    assert json.dumps(found.config["vision_cfg"]["layers"]) == "[3, 4, 6, 3]"
