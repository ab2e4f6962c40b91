from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_detector import tiny_detector, vocabulary, write_tiny_detector
from tiny_models import tiny_sam

from rs_textseg_plugin.contract.errors import ModelError, QueryError
from rs_textseg_plugin.engine.models.checkpoint import peek_keys_and_shapes
from rs_textseg_plugin.engine.models.grounding_dino import GroundingDino, load_grounding_dino
from rs_textseg_plugin.engine.models.kinds import checkpoint_role

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_tiny_detector(tmp_path_factory.mktemp("detector") / "tiny-dino", seed=1)


@pytest.fixture(scope="module")
def detector(weights) -> GroundingDino:
    return load_grounding_dino(weights, CPU, torch.float32)


def picture(height=60, width=90) -> np.ndarray:
    return np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_loaded_model_is_the_saved_one(detector):
    saved = tiny_detector(1).state_dict()
    for name, value in detector.model.state_dict().items():
        assert torch.equal(value, saved[name]), name
    assert not detector.model.training


@pytest.mark.parametrize("size", [(60, 90), (64, 64), (200, 40), (3, 50), (1, 1)])
@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_boxes_and_scores_are_those_of_the_published_post_processing(detector, size, threshold):
    rgb = picture(*size)
    (caption,) = detector.captions(["building", "storage tanks", "ship"])
    found = detector.detect(rgb, caption, threshold)
    processor = detector._processor
    layout = {"input_data_format": "channels_last", "return_tensors": "pt"}
    inputs = processor(images=rgb, text="building. storage tanks. ship.", **layout)
    with torch.inference_mode():
        outputs = detector.model(**inputs)
    (expected,) = processor.post_process_grounded_object_detection(
        outputs, inputs["input_ids"], threshold=threshold, text_threshold=0.25, target_sizes=[size]
    )
    np.testing.assert_allclose(found.boxes_px, expected["boxes"], atol=1e-4)
    np.testing.assert_allclose(found.scores, expected["scores"], atol=1e-6)
    assert (len(found.scores) > 0) or threshold > 0


def test_a_word_s_score_is_that_of_its_best_token(detector):
    (caption,) = detector.captions(["building", "storage tanks", "ship"])
    found = detector.detect(picture(), caption, 0.0)
    inputs = detector._processor(images=picture(), text=caption.text, return_tensors="pt")
    with torch.inference_mode():
        fits = detector.model(**inputs).logits[0].sigmoid()
    # [CLS] building . storage tank ##s . ship . [SEP]
    for column, tokens in enumerate([[1], [3, 4, 5], [7]]):
        np.testing.assert_allclose(found.word_scores[:, column], fits[:, tokens].max(dim=1).values, atol=1e-6)


def test_words_are_found_at_their_tokens_even_where_one_is_part_of_another(detector):
    (caption,) = detector.captions(["tank", "storage tank", "Tank  House", "tank"])
    words = vocabulary()
    tokens = detector._processor.tokenizer(caption.text)["input_ids"]
    said = [[tokens[i] for i in span] for span in caption.tokens]
    tank, storage, house = words["tank"], words["storage"], words["house"]
    assert said == [[tank], [storage, tank], [tank, house], [tank]]
    assert caption.text == "tank. storage tank. tank house. tank."
    assert len(set(caption.tokens)) == 4


def test_what_ends_a_phrase_does_not_end_a_word(detector):
    (caption,) = detector.captions(["a.b?", "road"])
    assert caption.text == "a b. road."
    assert [len(span) for span in caption.tokens] == [2, 1]


def test_a_list_longer_than_the_limit_of_tokens_goes_into_several_captions_with_every_word_once(detector):
    words = [f"storage tank {number}" for number in range(80)]
    captions = detector.captions(words)
    assert len(captions) > 1
    assert [number for caption in captions for number in caption.words] == list(range(80))
    for caption in captions:
        assert len(detector._processor.tokenizer(caption.text)["input_ids"]) <= 256
        for number, span in zip(caption.words, caption.tokens):
            # storage, tank, and one token a figure, as the small vocabulary has it
            assert len(span) == 2 + len(str(number))


@pytest.mark.parametrize("word", ["a " * 254, "", " . "])
def test_a_word_that_no_caption_can_hold_is_refused(detector, word):
    with pytest.raises(QueryError, match=r"makes [0-9]+ tokens for tiny-dino, which takes 1 to 253"):
        detector.captions(["road", word])


def test_the_longest_word_that_fits_is_taken_whole(detector):
    (caption,) = detector.captions(["a " * 253])
    assert len(caption.tokens[0]) == 253
    assert detector.detect(picture(), caption, 0.0).word_scores.shape[1] == 1


def test_a_threshold_that_nothing_reaches_gives_no_boxes(detector):
    captions = detector.captions(["road"])
    found = detector.detect(picture(), captions[0], 1.0)
    assert (found.boxes_px.shape, found.word_scores.shape) == ((0, 4), (0, 1))


def test_its_weights_are_told_from_others_by_their_names(weights):
    assert checkpoint_role(peek_keys_and_shapes(weights)) == "detector"


def test_a_sam_is_not_taken_for_a_detector(tmp_path):
    save_file(tiny_sam().state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="is not a Grounding DINO or OWLv2 checkpoint, it holds a SAM model"):
        load_grounding_dino(tmp_path / "model.safetensors", CPU, torch.float32)


def copied(weights, folder):
    folder.mkdir()
    for file in weights.parent.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder / weights.name


@pytest.mark.parametrize("name", ["config.json", "processor_config.json"])
def test_a_folder_without_one_of_its_files_is_refused_in_words(weights, tmp_path, name):
    path = copied(weights, tmp_path / "dino")
    (path.parent / name).unlink()
    with pytest.raises(ModelError, match=r"the folder needs config\.json, preprocessor_config.json or"):
        load_grounding_dino(path, CPU, torch.float32)


def test_weights_that_are_missing_are_named_instead_of_made_up(weights, tmp_path):
    path = copied(weights, tmp_path / "dino")
    state = load_file(path)
    state.pop("model.text_projection.weight")
    save_file(state, path, {"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 weights .* such as model\.text_projection\.weight"):
        load_grounding_dino(path, CPU, torch.float32)


def test_weights_of_another_size_are_refused(weights, tmp_path):
    path = copied(weights, tmp_path / "dino")
    config = json.loads((path.parent / "config.json").read_text())
    config["num_queries"] = 13
    (path.parent / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="dino"):
        load_grounding_dino(path, CPU, torch.float32)


def test_reduced_precision_stays_near(weights, detector):
    reduced = load_grounding_dino(weights, CPU, torch.bfloat16)
    (caption,) = detector.captions(["building", "road"])
    exact, near = detector.detect(picture(), caption, 0.0), reduced.detect(picture(), caption, 0.0)
    assert near.scores.dtype == np.float32
    # Other queries may be chosen among 12 random ones, so that a few differ more.
    difference = np.abs(np.sort(exact.scores) - np.sort(near.scores))
    assert difference.max() > 0
    assert np.median(difference) < 0.05
