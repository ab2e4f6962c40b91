"""The training of the demo models: what it is shown, what it optimises, and what it leaves behind."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import save_file

from rs_textseg_plugin.contract.catalog import read_manifest
from rs_textseg_plugin.engine.models.archives.digest import file_digest
from rs_textseg_plugin.engine.models.clip import load_clip
from rs_textseg_plugin.engine.models.sam import load_sam
from scenes.drawing import draw
from scenes.words import CLASSES
from training import clip_training, detector_training, sam_training
from training.attention import fast_attention_for_training, plain_attention
from training.clip_training import (
    ClipTraining,
    build_clip,
    cell_shares,
    cut_out,
    figures_of,
    find_known_tokens,
    spread_loss,
)
from training.crops import Crop, Cutter
from training.detector_training import DetectorTraining, build_detector
from training.export import (
    CLIP_FILE,
    DETECTOR_FILE,
    SAM_FILE,
    UPSAMPLER_FILE,
    draw_curves,
    export,
    exported,
    sam_weights,
    write_manifest,
)
from training.loop import Gate, Training, TrainingStuck, autocast, read_log
from training.prompts import BOX, CELL_PX, POINT, POINT_IN_BOX, POINTS, POINTS_IN_BOX, draw_prompts
from training.sam_training import SamTraining, mask_iou, mask_loss
from training.scene_store import SCENE_PX, SceneStore
from training.trunk import copy_to_owl, copy_trunk
from training.vocabulary import BACKGROUND, SYNONYMS, UNKNOWN, pick_sentences, pick_words

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> SceneStore:
    """Three drawn scenes of as many kinds."""
    scenes = SceneStore(tmp_path_factory.mktemp("scenes"), 3, first_seed=3_000_000)
    for index in range(3):
        scenes.draw_one(index)
    return scenes


@pytest.fixture(scope="module")
def trained(store, tmp_path_factory):
    """A folder in which all trainings ran for a few steps."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch, fast_attention_for_training():
        patch.setattr(clip_training, "_VALIDATION_WINDOWS", 4)
        patch.setattr(sam_training, "_VALIDATION_BATCHES", 1)
        patch.setattr(detector_training, "_VALIDATION_WINDOWS", 2)
        clip = ClipTraining(store, store, folder, minutes=0.03, device=CPU)
        clip.training._gates = ()
        clip.run()
        trunk = torch.load(folder / "clip.state.pt", weights_only=True)["model"]
        sam = SamTraining(store, store, folder, minutes=0.03, device=CPU, trunk=trunk)
        sam.training._gates = ()
        sam.run()
        trunk = sam_weights(torch.load(folder / "sam.state.pt", weights_only=True)["model"])
        detector = DetectorTraining(store, store, folder, minutes=0.03, device=CPU, trunk=trunk)
        detector.training._gates = ()
        detector.run()
    return folder


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_a_store_holds_what_is_drawn_and_knows_it_again(store):
    again = SceneStore(store.folder, 3, first_seed=3_000_000)
    metres = float(np.random.default_rng(3_000_001).uniform(0.22, 0.28))
    scene = draw(3_000_001, SCENE_PX, metres)
    assert again._drawn.all()
    np.testing.assert_array_equal(again.rgb[1], scene.rgb)
    np.testing.assert_array_equal(again.classes[1], scene.classes)
    np.testing.assert_array_equal(again.objects[1], scene.objects)


def test_a_crop_is_a_turned_or_mirrored_part_of_a_scene_in_another_light(store, rng):
    crop = Cutter(store, rng, anchored=0).cut(64)
    assert crop.rgb.shape == (64, 64, 3)
    turned = [np.rot90(flipped, k) for flipped in (crop.objects, crop.objects[:, ::-1]) for k in range(4)]
    first = {one.tobytes() for one in turned}
    windows = (
        np.ascontiguousarray(store.objects[scene, row : row + 64, col : col + 64]).astype(np.int32)
        for scene in range(3)
        for row in range(SCENE_PX - 63)
        for col in range(SCENE_PX - 63)
    )
    assert any(window.tobytes() in first for window in windows)


def test_an_anchored_crop_holds_the_class_that_was_looked_for(store, rng):
    for index in np.unique(np.asarray(store.classes))[1:] - 1:
        weights = np.zeros(len(CLASSES))
        weights[index] = 1
        crop = Cutter(store, rng, anchored=1, weights=weights).cut(96)
        assert (crop.classes == index + 1).any()


def test_shares_of_cells_are_those_of_their_pixels(rng):
    classes = rng.integers(0, len(CLASSES) + 1, (2, 8, 8)).astype(np.uint8)
    some, everything = cell_shares(classes, [2, 7]), cell_shares(classes, range(len(CLASSES)))
    for n, row, col in np.ndindex(2, 2, 2):
        cell = classes[n, 4 * row : 4 * row + 4, 4 * col : 4 * col + 4]
        others = ((cell != 3) & (cell != 8)).mean()
        np.testing.assert_allclose(some[n, :, row, col], [(cell == 3).mean(), (cell == 8).mean(), others], atol=1e-6)
        expected = [(cell == value).mean() for value in range(1, len(CLASSES) + 1)]
        np.testing.assert_allclose(everything[n, :, row, col], expected, atol=1e-6)


@pytest.mark.parametrize("kind", [POINT, BOX, POINTS, POINT_IN_BOX, POINTS_IN_BOX])
def test_prompts_lie_on_their_objects(kind, store, rng):
    cutter = Cutter(store, rng, anchored=0.8)
    crops = [cutter.cut(128) for _ in range(4)]
    prompts = draw_prompts(crops, 12, kind, rng)
    assert prompts.points_px.shape == (4, 12, kind.points, 2)
    np.testing.assert_allclose(prompts.near.sum(axis=(2, 3)), 1, atol=0.51)  # 0.5 where an object fills the crop
    for image, number in np.ndindex(4, 12):
        corner, opposite = prompts.boxes_px[image, number]
        mask = prompts.masks[image, number]
        assert mask.sum() * CELL_PX**2 <= 1.6 * np.prod(np.abs(opposite - corner) + 12)
        for x, y in prompts.points_px[image, number]:
            assert mask[int(y) // CELL_PX, int(x) // CELL_PX] > 0
            assert crops[image].classes[int(y), int(x)] == prompts.classes[image, number]


@pytest.mark.parametrize("kind", [POINT, BOX, POINTS, POINT_IN_BOX, POINTS_IN_BOX])
def test_prompts_in_training_are_those_of_sam(kind, trained, store, rng):
    training = SamTraining(store, store, trained, minutes=1, device=CPU, trunk=None)
    asked = draw_prompts([Cutter(store, rng, anchored=0.8).cut(256)], 3, kind, rng)
    tokens = training._tokens(asked, np.zeros((1, 2), np.int64))
    points, boxes = torch.from_numpy(asked.points_px[0]), torch.from_numpy(asked.boxes_px[0]).flatten(1)
    marks = torch.ones(points.shape[:2], dtype=torch.int)
    encoder = training.model.sam.prompt_encoder
    expected, _ = encoder((points, marks) if kind.points else None, boxes if kind.box else None, None)
    torch.testing.assert_close(tokens, expected)


def test_plain_attention_and_its_gradients_are_torchs():
    parts = [torch.randn(2, 3, 17, 8, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    weights = torch.randn(2, 3, 17, 8, dtype=torch.float64)
    results = [attention(*parts) for attention in (plain_attention, F.scaled_dot_product_attention)]
    torch.testing.assert_close(*results)
    torch.testing.assert_close(*(torch.autograd.grad((one * weights).sum(), parts) for one in results))


def test_a_mask_stays_a_mask_with_plain_attention():
    q, k, v = torch.randn(3, 1, 2, 9, 4)
    mask = torch.full((9, 9), -torch.inf).triu(1)
    with fast_attention_for_training():
        assert torch.equal(F.scaled_dot_product_attention(q, k, v, mask), plain_attention(q, k, v, mask))
    torch.testing.assert_close(plain_attention(q, k, v, mask), F.scaled_dot_product_attention(q, k, v, mask))
    assert F.scaled_dot_product_attention is not plain_attention


def test_sam_starts_with_what_clip_sees():
    clip, _ = build_clip()
    sam = sam_training.build_sam(sam_training.CONFIG)
    images = torch.randn(2, 3, 256, 256)
    visual = clip.visual
    torch.nn.init.normal_(visual.ln_pre.weight, 1, 0.1)
    torch.nn.init.normal_(visual.ln_pre.bias)
    copy_trunk(clip.state_dict(), sam.image_encoder, images)
    with torch.no_grad():
        tokens = visual.conv1(images).flatten(2).transpose(1, 2) + visual.positional_embedding[1:]
        wanted = visual.ln_pre(tokens)
        got = (sam.image_encoder.patch_embed(images) + sam.image_encoder.pos_embed).flatten(1, 2)
        # The same direction for every token; the length is that of an average token.
        shape = [(one - visual.ln_pre.bias) / visual.ln_pre.weight for one in (wanted, got)]
        assert F.cosine_similarity(*shape, dim=-1).min() > 0.9999
        block, twin = visual.transformer.resblocks[2], sam.image_encoder.blocks[2]
        plane = wanted.unflatten(1, (32, 32))
        torch.testing.assert_close(twin(plane).flatten(1, 2), block(wanted), atol=1e-4, rtol=1e-4)


def test_the_detector_starts_with_what_sam_sees():
    sam = sam_training.build_sam(sam_training.CONFIG)
    tower = build_detector(300).owlvit.vision_model
    images = torch.randn(2, 3, 256, 256)
    for value in sam.image_encoder.parameters():
        torch.nn.init.normal_(value, 0.1, 0.1)  # normalisations start alike in both
    copy_to_owl(sam.state_dict(), tower, images)
    with torch.no_grad():
        wanted = (sam.image_encoder.patch_embed(images) + sam.image_encoder.pos_embed).flatten(1, 2)
        got = tower.pre_layernorm(tower.embeddings(images))[:, 1:]
        # The same direction, seen from the mean over the channels; the length is that of an average token.
        centred = [one - one.mean(dim=-1, keepdim=True) for one in (wanted, got)]
        assert F.cosine_similarity(*centred, dim=-1).min() > 0.9999
        lengths = [one.std(dim=-1, correction=0).mean() for one in (got, wanted)]
        torch.testing.assert_close(*lengths, atol=1e-3, rtol=1e-3)
        for number in (0, 2):  # with windows, and without
            block, twin = sam.image_encoder.blocks[number], tower.encoder.layers[number]
            seen = wanted.unflatten(1, (32, 32))[:, :8, :8].contiguous()  # no more than a window
            expected = block(seen).flatten(1, 2)
            torch.testing.assert_close(twin(seen.flatten(1, 2), None), expected, atol=1e-4, rtol=1e-4)


def test_a_right_mask_costs_less_than_a_wrong_one_and_what_is_near_counts_more():
    truth = torch.zeros(1, 1, 16, 16)
    truth[..., 4:8, 4:8] = 1
    near = torch.full((1, 1, 16, 16), 1e-3)
    near[..., 2:10, 2:10] = 1
    near /= near.sum()
    right, far_off, near_off = (8 * (2 * truth - 1) for _ in range(3))
    far_off, near_off = far_off.clone(), near_off.clone()
    far_off[..., 15, 15] = 8
    near_off[..., 8, 8] = 8
    costs = mask_loss(torch.cat([right, far_off, near_off], dim=1), truth, near)[0]
    assert costs[0] < 0.05
    assert costs[0] < costs[1] < costs[2]
    assert mask_iou(torch.cat([right, near_off], dim=1), truth).tolist() == [[1, pytest.approx(16 / 17)]]


def test_words_are_of_their_class_and_every_word_is_known_but_the_unknown(rng):
    for index, word in enumerate(pick_words(range(len(CLASSES)), rng)):
        assert word in SYNONYMS[CLASSES[index]]
    assert pick_sentences(["car"], ["a {} seen from above"], rng) == ["a car seen from above"]
    tokenizer = build_clip()[1]
    known = find_known_tokens(tokenizer)
    assert all(known[tokenizer([word])].all() for word in (*BACKGROUND, *sum(SYNONYMS.values(), ())))
    assert not any(known[tokenizer([word])].all() for word in UNKNOWN)


def test_words_that_point_the_same_way_cost_more():
    apart, alike = torch.eye(3, 4), F.normalize(torch.ones(3, 4) + 0.1 * torch.eye(3, 4), dim=-1)
    assert spread_loss(apart) == 0
    assert spread_loss(alike).item() == pytest.approx((float(alike[0] @ alike[1]) - 0.2) ** 2, abs=1e-6)


def test_an_object_is_shown_whole_in_the_middle():
    rgb = np.full((32, 32, 3), 50, np.uint8)
    inside = np.zeros((32, 32), bool)
    inside[10:14, 4:24] = True
    rgb[inside] = 200
    crop = Crop(rgb, inside.astype(np.uint8), inside.astype(np.int32))
    picture = cut_out(crop, inside, 40, masked=True)
    assert picture.shape == (40, 40, 3)
    assert (picture[20] > 190).all()
    assert (picture[[0, 10, 30, 39]] < 10).all()


def test_scores_follow_the_definition():
    counts = np.zeros((15, 15), np.int64)
    counts[1, 1], counts[1, 2], counts[2, 2] = 6, 2, 4
    figures = figures_of(counts)
    assert figures["accuracy"] == pytest.approx(10 / 12, abs=1e-4)
    assert figures["miou"] == pytest.approx((6 / 8 + 4 / 6) / 2, abs=1e-4)


class Timed:
    """A clock that a test moves."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr("training.loop.time.monotonic", lambda: self.now)


def test_a_training_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    clock = Timed(monkeypatch)
    model = torch.nn.Linear(2, 1)
    first = Training("line", tmp_path, model, rate=0.1, minutes=1)
    for step in first.run():
        first.descend(model(torch.ones(1, 2)).sum())
        clock.now += 10
        if step == 2:
            first.save()
            break
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    second = Training("line", tmp_path, torch.nn.Linear(2, 1), rate=0.1, minutes=1)
    assert second.resumed
    assert (second.steps, second.spent_s) == (2, 20)
    assert all(torch.equal(value, kept[name]) for name, value in second.model.state_dict().items())
    steps = []
    for step in second.run():
        steps.append(step)
        clock.now += 10
    assert steps == [2, 3, 4, 5]
    assert second.optimizer.param_groups[0]["lr"] < 0.1


def test_a_step_without_a_finite_gradient_changes_nothing(tmp_path):
    model = torch.nn.Linear(2, 1)
    training = Training("line", tmp_path, model, rate=0.1, minutes=1)
    before = model.weight.clone()
    training.descend(model(torch.ones(1, 2)).sum() * math.inf)
    assert torch.equal(model.weight, before)


def test_a_missed_gate_ends_a_training_in_words(tmp_path):
    gates = (Gate(0.5, "miou", 0.4),)
    training = Training("clip", tmp_path, torch.nn.Linear(2, 1), rate=0.1, minutes=1, gates=gates)
    training.spent_s = 29
    training.log(miou=0.1)
    training.spent_s = 31
    with pytest.raises(TrainingStuck, match=r"clip reached miou 0\.100, less than the 0\.4"):
        training.log(miou=0.1)
    assert [line["miou"] for line in read_log(tmp_path, "clip")] == [0.1, 0.1]


def test_what_is_exported_is_a_model_set_like_any_other(trained, tmp_path):
    clip_file, sam_file, detector_file, manifest = export(trained, tmp_path / "set")
    entry = read_manifest(manifest)
    assert entry.is_demo
    assert {file.name for file in entry.files} == {CLIP_FILE, SAM_FILE, DETECTOR_FILE}
    assert "detector/config.json" in {file.name for one in entry.files for file in one.beside}
    assert sum(path.stat().st_size for path in (clip_file, sam_file, detector_file)) < 20e6
    sam, clip = load_sam(sam_file, CPU, torch.float32), load_clip(clip_file, "", CPU, torch.float32)
    assert sam.input_px == clip.picture_px == 256
    state = torch.load(trained / "sam.state.pt", weights_only=True)["model"]
    weight = state["sam.image_encoder.blocks.0.attn.qkv.weight"]
    torch.testing.assert_close(sam.sam.image_encoder.blocks[0].attn.qkv.weight.data, weight, atol=1e-3, rtol=1e-3)
    strangers = clip.embed_words(["helicopter", "horse", "car"], "1")
    np.testing.assert_allclose(strangers[0], strangers[1], atol=1e-6)
    assert np.abs(strangers[0] - strangers[2]).max() > 1e-3


def test_a_training_goes_on_from_exported_weights_at_its_own_rate(trained, store, tmp_path, monkeypatch):
    monkeypatch.setattr(sam_training, "_VALIDATION_BATCHES", 1)
    export(trained, tmp_path / "set")
    start = exported(tmp_path / "set")
    afresh = ClipTraining(store, store, tmp_path / "afresh", 1, CPU).training
    clip = ClipTraining(store, store, tmp_path, 1, CPU, start["clip"])
    sam = SamTraining(store, store, tmp_path, 1, CPU, None, start["sam"])
    detector = DetectorTraining(store, store, tmp_path, 1, CPU, None, start["detector"])
    for name, model in (("clip", clip.model), ("sam", sam.model.sam), ("detector", detector.model)):
        for key, value in model.state_dict().items():
            torch.testing.assert_close(value, start[name][key], msg=f"{name}: {key}")
    assert clip.training._rate < afresh._rate
    assert clip._course.small_share == sam._course.small_share == 0
    # What has not begun to train stays as it was.
    (clip_file, *_), again = export(tmp_path, tmp_path / "again", start), exported(tmp_path / "again")
    assert file_digest(clip_file) == file_digest(tmp_path / "set" / CLIP_FILE)
    torch.testing.assert_close(again, start)


@pytest.mark.parametrize(("has_bf16", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_bf16_is_taken_where_the_processor_has_it(has_bf16, dtype, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bf16)
    with autocast(CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_an_upsampler_stays_in_the_set_while_its_clip_does(trained, tmp_path):
    clip_file, *_ = export(trained, tmp_path)
    always = ["sam", "clip", "detector"]
    for digest, roles in ((file_digest(clip_file), [*always, "upsampler"]), ("0" * 64, always)):
        save_file({"weight": torch.zeros(1)}, tmp_path / UPSAMPLER_FILE, {"clip_sha256": digest})
        assert [file.role for file in read_manifest(write_manifest(tmp_path)).files] == roles


def test_dense_features_in_training_are_those_of_the_product(trained, store, tmp_path):
    clip = load_clip(export(trained, tmp_path / "set")[0], "", CPU, torch.float32)
    training = ClipTraining(store, store, trained, minutes=1, device=CPU)
    picture = np.asarray(store.rgb[0, :256, :256])
    with torch.no_grad():
        whole = training._sub_grids(1, 256)
        ours, _ = clip_training.patch_features(
            training.model.eval().visual, training._images([picture]), "self-self", whole
        )
    theirs, _ = clip.dense_features(picture[None], "self-self")
    assert F.cosine_similarity(ours, theirs, dim=-1).min() > 0.999


def test_the_curves_are_drawn(trained, tmp_path):
    assert draw_curves(trained, tmp_path / "curves.png").stat().st_size > 5_000
    assert {"point", "oracle", "box", "rating_error"} <= set(json.loads((trained / "sam.log.jsonl").read_text()))
