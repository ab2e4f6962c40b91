"""What competes by name, with the words of the demo CLIP."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.clip.words import embed_legend, without_near_words
from rs_textseg_plugin.engine.models.clip import ClipModel, load_clip
from stage import ROOT

WORDS = ("crops", "road", "water", "building")


@pytest.fixture(scope="module")
def clip() -> ClipModel:
    return load_clip(ROOT / "resources" / "demo" / "clip_demo.safetensors", "", torch.device("cpu"), torch.float32)


def test_a_word_that_the_model_takes_for_a_typed_one_does_not_compete(clip):
    legend = Legend.of(parse_class_list("farmland, forest"), "background", vocabulary=WORDS)
    settled = without_near_words(clip, legend, "80")
    assert settled.words == legend.words == ("farmland", "forest", *WORDS, "background")
    assert [word for word, offset in zip(settled.words, settled.offsets) if np.isneginf(offset)] == ["crops"]
    assert settled.notes == [
        "Competed with the classes without being output: road, water, building. competitor=none leaves that out."
    ]
    logits = np.zeros((7, 5), np.float32)
    logits[2] = 50  # crops, which would win everywhere
    assert settled.class_probabilities(logits)[0].max() > legend.class_probabilities(logits)[0].max()


def test_typed_words_are_put_into_all_sentences_and_the_vocabulary_into_one(clip):
    legend = Legend.of(parse_class_list("farmland|field"), "background", vocabulary=WORDS)
    features = embed_legend(clip, legend, "80")
    np.testing.assert_allclose(features[:2], clip.embed_words(["farmland", "field"], "80"))
    np.testing.assert_allclose(features[2:], clip.embed_words([*WORDS, "background"], "1"))
    plain = Legend.of(parse_class_list("farmland|field"), "background")
    np.testing.assert_allclose(embed_legend(clip, plain, "80")[2], clip.embed_words(["background"], "80")[0])
    assert without_near_words(clip, plain, "80") is plain
