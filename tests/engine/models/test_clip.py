from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from literal_segearth import literal_features, literal_gem, normalised, padded
from safetensors.torch import save_file
from tiny_models import CLIP_CONFIG, open_clip, tiny_clip

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.contract.tables.shared import ATTENTIONS
from rs_textseg_plugin.engine.models.attention import run_blocks
from rs_textseg_plugin.engine.models.clip import TEMPLATES, ClipModel, load_clip, resized_positions

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> ClipModel:
    return ClipModel(tiny_clip(3), open_clip.get_tokenizer("ViT-B-16"), "tiny", CPU, torch.float32)


def pictures(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height + width).integers(0, 256, (count, height, width, 3), np.uint8)


def test_pictures_are_embedded_as_open_clip_embeds_them(model):
    images = pictures(3, 64, 64)
    with torch.inference_mode():
        expected = model.model.encode_image(normalised(images), normalize=True)
    np.testing.assert_allclose(model.embed_pictures(images), expected, atol=1e-6)


@pytest.mark.parametrize("templates", TEMPLATES)
def test_a_word_is_the_mean_of_its_sentences(model, templates):
    assert len(set(TEMPLATES[templates])) == (1 if templates == "word" else int(templates))
    sentences = [template.replace("{}", "storage tank") for template in TEMPLATES[templates]]
    with torch.inference_mode():
        features = model.model.encode_text(open_clip.get_tokenizer("ViT-B-16")(sentences))
    mean = (features / features.norm(dim=1, keepdim=True)).mean(dim=0)
    (found,) = model.embed_words(["storage tank"], templates)
    np.testing.assert_allclose(found, mean / mean.norm(), atol=1e-5)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize(("height", "width", "grid"), [(64, 64, (4, 4)), (96, 64, (6, 4)), (70, 50, (5, 4))])
def test_dense_features_equal_the_equations_done_plainly(model, attention, height, width, grid):
    images, visual = pictures(2, height, width), model.model.visual
    with torch.inference_mode():
        raw = literal_features(visual, padded(normalised(images), 16), attention)
        features = raw / raw.norm(dim=-1, keepdim=True)
    patches, cls = model.dense_features(images, attention)
    np.testing.assert_allclose(patches.flatten(1, 2), features[:, 1:], atol=1e-4)
    np.testing.assert_allclose(cls, features[:, 0], atol=1e-4)
    assert tuple(patches.shape[1:3]) == grid
    patches, cls = model.dense_features(images, attention, unit_length=False)
    np.testing.assert_allclose(patches.flatten(1, 2), raw[:, 1:], atol=1e-4)
    np.testing.assert_allclose(cls, features[:, 0], atol=1e-4)


def test_gem_changes_the_last_six_blocks_of_a_deeper_vit_and_no_others():
    torch.manual_seed(8)
    config = {**CLIP_CONFIG, "vision_cfg": {**CLIP_CONFIG["vision_cfg"], "layers": 8, "width": 64, "head_width": 32}}
    visual = open_clip.CLIP(**config).eval().visual
    tokens = torch.randn(2, 17, 64)
    with torch.inference_mode():
        found = run_blocks(visual.transformer.resblocks, tokens, "gem")
        np.testing.assert_allclose(found, literal_gem(visual.transformer.resblocks, tokens), atol=1e-4)


def test_every_kind_of_attention_says_something_else(model):
    answers = [model.dense_features(pictures(1, 64, 64), attention)[0] for attention in ATTENTIONS]
    for number, one in enumerate(answers):
        assert all((one - other).abs().max() > 1e-2 for other in answers[:number])


def test_the_frame_says_what_a_padded_grid_covers(model):
    assert model.padded_frame(Window(7, 9, 64, 48)) == Window(0, 0, 64, 48)
    assert model.padded_frame(Window(0, 0, 50, 70)) == Window(-7, -5, 64, 80)


@pytest.fixture
def clip_files(tmp_path):
    state = tiny_clip(3).state_dict()
    torch.save(state, tmp_path / "plain.pt")
    torch.save(
        {"epoch": 3, "name": "x", "state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "run.pt"
    )
    save_file(state, tmp_path / "named.safetensors", {"clip_config": json.dumps(CLIP_CONFIG)})
    save_file(state, tmp_path / "bare.safetensors")
    return tmp_path


@pytest.mark.parametrize("name", ["plain.pt", "run.pt", "named.safetensors", "bare.safetensors"])
def test_every_published_layout_loads_to_the_same_model(clip_files, model, name):
    loaded = load_clip(clip_files / name, "", CPU, torch.float32)
    images = pictures(1, 64, 64)
    np.testing.assert_allclose(loaded.embed_pictures(images), model.embed_pictures(images), atol=1e-6)
    np.testing.assert_allclose(loaded.embed_words(["road"], "1"), model.embed_words(["road"], "1"), atol=1e-6)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_an_archive_of_openai_has_its_activation_whatever_the_file_is_called(tmp_path):
    torch.manual_seed(3)
    theirs = open_clip.CLIP(**CLIP_CONFIG, quick_gelu=True).eval()
    images = pictures(1, 64, 64)
    theirs.attn_mask = theirs._buffers.pop("attn_mask")  # OpenAI's archives do not hold it
    archive = torch.jit.trace_module(theirs, {"encode_image": normalised(images)}, check_trace=False)
    torch.jit.save(archive, str(tmp_path / "renamed.pt"))
    loaded = load_clip(tmp_path / "renamed.pt", "", CPU, torch.float32)
    wanted = ClipModel(theirs, open_clip.SimpleTokenizer(), "theirs", CPU, torch.float32)
    np.testing.assert_allclose(loaded.embed_pictures(images), wanted.embed_pictures(images), atol=1e-6)


def test_a_checkpoint_of_another_architecture_is_refused_in_words(clip_files):
    with pytest.raises(ModelError, match="does not fit the architecture ViT-B-32"):
        load_clip(clip_files / "plain.pt", "ViT-B-32", CPU, torch.float32)
    with pytest.raises(ModelError, match="no architecture 'ViT-Z-99'"):
        load_clip(clip_files / "plain.pt", "ViT-Z-99", CPU, torch.float32)


@pytest.mark.parametrize(
    ("config", "words"),
    [("{oops", "is not understood"), ("[1]", "is not understood"), ('{"embed_dim": 32}', "does not fit"),
     (json.dumps({**CLIP_CONFIG, "no_such_word": 1}), "no_such_word")],
)  # fmt: skip
def test_a_configuration_that_makes_no_clip_is_refused_in_words(clip_files, config, words):
    (clip_files / "open_clip_config.json").write_text(config)
    with pytest.raises(ModelError, match=words):
        load_clip(clip_files / "plain.pt", "", CPU, torch.float32)


def test_a_clip_without_a_standard_vit_is_refused_for_dense_maps_only(model):
    torch.manual_seed(0)
    config = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None},
        "text_cfg": CLIP_CONFIG["text_cfg"],
    }
    resnet = ClipModel(open_clip.CLIP(**config), open_clip.get_tokenizer("RN50"), "rn", CPU, torch.float32)
    assert resnet.embed_pictures(pictures(1, 64, 64)).shape == (1, 32)
    with pytest.raises(ModelError, match="no standard ViT"):
        resnet.dense_features(pictures(1, 64, 64), "self-self")


def test_bf16_stays_close_to_fp32(model):
    rough = ClipModel(tiny_clip(3), open_clip.get_tokenizer("ViT-B-16"), "tiny", CPU, torch.bfloat16)
    exact, close = (
        model.dense_features(pictures(2, 64, 64), "self-self"),
        rough.dense_features(pictures(2, 64, 64), "self-self"),
    )
    assert (exact[0] - close[0]).abs().max() < 0.05


def test_the_positional_embedding_is_interpolated_as_asked_for(model):
    trained = model.model.visual.positional_embedding
    planes = trained[1:].detach().reshape(1, 4, 4, -1).permute(0, 3, 1, 2)
    for way in ("bicubic", "bilinear"):
        found = resized_positions(model.model.visual, (6, 9), way).detach()
        expected = torch.nn.functional.interpolate(planes, (6, 9), mode=way)[0].flatten(1).T
        torch.testing.assert_close(found[1:], expected)
        torch.testing.assert_close(found[:1], trained[:1].detach())
    pictures_seen = pictures(1, 96, 144)
    ways = [model.dense_features(pictures_seen, "self-self", positions=way)[0] for way in ("bicubic", "bilinear")]
    assert (ways[0] - ways[1]).abs().max() > 1e-4
