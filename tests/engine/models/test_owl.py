from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_detector import write_tiny_detector
from tiny_owl import tiny_owl, write_tiny_owl

from rs_textseg_plugin.contract.errors import ModelError, QueryError
from rs_textseg_plugin.engine.models.checkpoint import peek_keys_and_shapes
from rs_textseg_plugin.engine.models.detector import load_detector
from rs_textseg_plugin.engine.models.grounding_dino import GroundingDino
from rs_textseg_plugin.engine.models.kinds import checkpoint_role
from rs_textseg_plugin.engine.models.owl import Owl

CPU = torch.device("cpu")
WORDS = ["building", "storage  tank", "ship"]


@pytest.fixture(scope="module", params=["owlv2", "owlvit"])
def owl(request, tmp_path_factory) -> Owl:
    folder = tmp_path_factory.mktemp("owl") / request.param
    return load_detector(write_tiny_owl(folder, request.param, 1), CPU, torch.float32)


def picture(height=60, width=90) -> np.ndarray:
    return np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_loaded_model_is_the_saved_one(owl):
    assert isinstance(owl, Owl)
    saved = tiny_owl(owl.name, 1).state_dict()
    for name, value in owl.model.state_dict().items():
        assert torch.equal(value, saved[name]), name


@pytest.mark.parametrize("size", [(60, 90), (64, 64), (200, 40), (3, 50), (1, 1)])
@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_boxes_and_scores_are_those_of_the_published_post_processing(owl, size, threshold):
    rgb = picture(*size)
    (caption,) = owl.captions(WORDS)
    found = owl.detect(rgb, caption, threshold)
    texts = ["a photo of a building", "a photo of a storage tank", "a photo of a ship"]
    layout = {"input_data_format": "channels_last", "return_tensors": "pt"}
    inputs = owl._processor(text=[texts], images=rgb, **layout)
    with torch.inference_mode():
        outputs = owl.model(**inputs)
    (expected,) = owl._processor.post_process_grounded_object_detection(
        outputs, threshold=threshold, target_sizes=[size]
    )
    np.testing.assert_allclose(found.boxes_px, expected["boxes"], atol=1e-4)
    np.testing.assert_allclose(found.scores, expected["scores"], atol=1e-6)
    np.testing.assert_array_equal(found.word_scores.argmax(axis=1), expected["labels"])
    np.testing.assert_allclose(found.word_scores.max(axis=1, initial=0), expected["scores"], atol=1e-6)
    assert len(found.scores) > 0 or threshold > 0


def test_every_word_has_the_score_that_it_has_alone(owl):
    (together,) = owl.captions(WORDS)
    found = owl.detect(picture(), together, 0.0)
    assert together.words == (0, 1, 2)
    for number, word in enumerate(WORDS):
        alone = owl.detect(picture(), owl.captions([word])[0], 0.0)
        np.testing.assert_allclose(found.word_scores[:, number], alone.word_scores[:, 0], atol=1e-5)
    assert np.ptp(found.word_scores, axis=1).max() > 0.01


def test_eighty_words_go_through_together(owl):
    (caption,) = owl.captions([f"thing {number}" for number in range(80)])
    assert owl.detect(picture(), caption, 0.0).word_scores.shape[1] == 80


def test_a_word_that_the_model_would_cut_off_is_refused(owl):
    with pytest.raises(QueryError, match="which takes 32: write it shorter"):
        owl.captions(["x " * 40])


def test_its_role_is_told_from_its_weights_and_a_grounding_dino_stays_one(tmp_path):
    for kind in ("owlv2", "owlvit"):
        assert checkpoint_role(peek_keys_and_shapes(write_tiny_owl(tmp_path / kind, kind))) == "detector"
    assert isinstance(load_detector(write_tiny_detector(tmp_path / "dino"), CPU, torch.float32), GroundingDino)


def test_missing_files_and_weights_are_refused_in_words(tmp_path):
    weights = write_tiny_owl(tmp_path / "owl")
    state = load_file(weights)
    save_file(
        {key: value for key, value in state.items() if key != "box_head.dense0.weight"}, weights, {"format": "pt"}
    )
    with pytest.raises(ModelError, match=r"lacks 1 weights .*box_head\.dense0\.weight"):
        load_detector(weights, CPU, torch.float32)
    config = json.loads((weights.parent / "config.json").read_text())
    for path in weights.parent.glob("*"):
        if path not in (weights, weights.with_name("config.json")):
            path.unlink()
    assert config["model_type"] == "owlv2"
    with pytest.raises(ModelError, match=r"cannot be loaded .* preprocessor_config\.json"):
        load_detector(weights, CPU, torch.float32)
