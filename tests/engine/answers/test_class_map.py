from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.engine.answers.class_map import ClassMap
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.answers.resize import bilinear_matrix, reach, resize_part


@pytest.mark.parametrize(("length_in", "length_out"), [(7, 100), (14, 224), (100, 37), (1, 9), (5, 5), (448, 1024)])
def test_the_matrix_is_torchs_bilinear_resize(length_in, length_out):
    line = torch.randn(1, 1, length_in, dtype=torch.float64)
    expected = F.interpolate(line, size=length_out, mode="linear", align_corners=False)[0, 0]
    found = bilinear_matrix(length_in, length_out) @ line[0, 0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("source", [(13, 17), (60, 41), (31, 29)])
def test_a_part_of_a_resized_picture_equals_that_part_of_the_whole(source):
    rng = np.random.default_rng(0)
    picture, size = rng.normal(size=(3, *source)).astype(np.float32), (60, 41)
    expected = F.interpolate(torch.from_numpy(picture)[None], size=size, mode="bilinear", align_corners=False)[
        0
    ].numpy()
    part = Window(11, 23, 19, 30)
    needed = reach(part, size, source)
    found = resize_part(picture[(slice(None), *needed.slices)], size, part, within=needed, source=source)
    np.testing.assert_allclose(found, expected[(slice(None), *part.slices)], atol=1e-5)
    np.testing.assert_allclose(resize_part(picture, size, part), expected[(slice(None), *part.slices)], atol=1e-5)


def literal_logits(class_map: ClassMap) -> np.ndarray:
    """The published order, done plainly: upsample each window, mean over windows, resize to the tile."""
    words = class_map.window_logits.shape[1]
    total, count = torch.zeros(words, *class_map.canvas), torch.zeros(class_map.canvas)
    overlap = class_map.overlap_px
    frame = class_map.frame
    for window, logits in zip(class_map.windows, class_map.window_logits):
        padded = F.interpolate(
            torch.from_numpy(logits.astype(np.float32))[None],
            size=(frame.height, frame.width),
            mode="bilinear",
            align_corners=False,
        )[0]
        inside = padded[:, -frame.row : -frame.row + window.height, -frame.col : -frame.col + window.width]
        weight = torch.ones(window.height, window.width)
        if overlap:
            down, right = (torch.arange(length) + 0.5 for length in (window.height, window.width))
            to_edge = [
                torch.minimum(x, n - x).clamp(max=overlap) / overlap
                for x, n in ((down, len(down)), (right, len(right)))
            ]
            weight = to_edge[0][:, None] * to_edge[1][None, :]
        total[(slice(None), *window.slices)] += weight * inside
        count[window.slices] += weight
    mean = (total / count)[None]
    return F.interpolate(mean, size=class_map.tile, mode="bilinear", align_corners=False)[0].numpy()


def random_map(words: int = 4, overlap_px: int = 0) -> ClassMap:
    rng = np.random.default_rng(1)
    windows = (Window(0, 0, 30, 28), Window(17, 0, 30, 28), Window(0, 9, 30, 28), Window(17, 9, 30, 28))
    logits = rng.normal(size=(4, words, 2, 2)).astype(np.float16)
    return ClassMap(logits, windows, Window(-1, -2, 32, 32), (37, 47), (90, 101), overlap_px)


@pytest.mark.parametrize("part", [Window(0, 0, 101, 90), Window(5, 50, 40, 13), Window(100, 89, 1, 1)])
@pytest.mark.parametrize("overlap_px", [0, 13])
def test_logits_of_a_part_equal_the_published_order_done_plainly(part, overlap_px):
    class_map = random_map(overlap_px=overlap_px)
    expected = literal_logits(class_map)[(slice(None), *part.slices)]
    np.testing.assert_allclose(class_map.logits(part), expected, atol=1e-5)


def test_probabilities_are_a_softmax_over_words_and_the_maximum_of_each_class():
    legend = Legend.of(parse_class_list("building|roof, road, -shadow"), "background", closed_list=True)
    class_map = random_map(len(legend.words))
    part = Window(3, 4, 20, 10)
    softmax = torch.softmax(torch.from_numpy(class_map.logits(part)), dim=0).numpy()
    expected = np.stack([softmax[:2].max(axis=0), softmax[2], softmax[3]])
    np.testing.assert_allclose(class_map.probabilities(legend, part), expected, atol=1e-6)


def test_a_class_that_stands_alone_gets_words_to_compete_with():
    legend = Legend.of(parse_class_list("building|roof"), "background|clutter")
    assert legend.words == ("building", "roof", "background", "clutter")
    assert legend.competing == ("building", "background|clutter")
    assert legend.stands_alone
    assert not Legend.of(parse_class_list("building, -tree"), "background").stands_alone


@pytest.mark.parametrize(
    ("text", "joins"),
    [("building, road", True), ("building, -shadow", True), ("building, *", True), ("building, road, -Clutter", False),
     ("building|roof, background", False), ("building", True)],
)  # fmt: skip
def test_everything_else_competes_with_a_list_that_does_not_name_it(text, joins):
    query = parse_class_list(text)
    legend = Legend.of(query, "background|clutter")
    assert (legend.competing[-1] == "background|clutter") is joins
    assert legend.named == len(query.classes) == legend.size - joins
    assert legend.label_of(np.array([legend.size - 1]))[0] in (0, legend.everything_else) or not joins
    closed = Legend.of(query, "background|clutter", closed_list=True)
    assert (closed.size == closed.named) is (closed.named > 1)


def test_known_words_compete_each_as_a_class_of_its_own():
    query = parse_class_list("building|roof, road, -tree")
    legend = Legend.of(query, "background", vocabulary=("building", "car", "forest", "water", "Road"))
    assert legend.words == ("building", "roof", "road", "tree", "car", "water", "background")
    assert legend.competing == ("building", "road", "tree", "car", "water", "background")
    assert (legend.of_vocabulary.tolist(), legend.in_full) == ([4, 5], 4)
    lone = Legend.of(parse_class_list("building"), "background", vocabulary=("water",))
    assert not lone.stands_alone
    closed = Legend.of(query, "background", closed_list=True, vocabulary=("water",))
    assert (closed.competing, closed.has_vocabulary) == (("building", "road", "tree"), False)
    nothing_left = Legend.of(parse_class_list("water"), "background", vocabulary=("water", "river"))
    assert (nothing_left.competing, nothing_left.offsets.tolist()) == (("water", "background"), [0, 0])


def test_the_generic_word_counts_less_the_more_kinds_of_things_are_named():
    def offsets(text: str, known: int) -> float:
        legend = Legend.of(parse_class_list(text), "background", vocabulary=[f"kind {k}" for k in range(known)])
        assert not legend.offsets[:-1].any()
        return float(legend.offsets[-1]) if legend.competing[-1] == "background" else -4

    by_count = [offsets("kind 0", known) for known in range(2, 30)]
    assert by_count == sorted(by_count, reverse=True)
    assert (by_count[0], by_count[-1]) == (0, -4)
    everything = ", ".join(f"kind {k}" for k in range(11))
    assert offsets("kind 0", 11) == offsets(everything, 11) == offsets("kind 3|roof, kind 5, -kind 7", 11)
    assert offsets("kind 0, dragon", 10) == offsets("kind 0", 11)


def test_an_offset_moves_a_word_s_logit_and_no_plane_beyond_the_words():
    legend = Legend.of(parse_class_list("building, road"), "background", vocabulary=("water",))
    logits = np.random.default_rng(1).normal(size=(5, 4, 3)).astype(np.float32)  # one plane more than words
    moved = logits.copy()
    moved[3] += legend.offsets[3]
    softmax = torch.softmax(torch.from_numpy(moved), dim=0).numpy()
    np.testing.assert_allclose(legend.class_probabilities(logits), softmax[:4], atol=1e-6)


def test_negatives_and_undecided_pixels_become_nothing_or_everything_else():
    index = np.array([0, 1, 2, -1])
    plain = Legend.of(parse_class_list("building, road, -shadow"), "background")
    assert list(plain.label_of(index)) == [1, 2, 0, 0]
    rest = Legend.of(parse_class_list("building, road, -shadow, *"), "background")
    assert list(rest.label_of(index)) == [1, 2, 3, 3]
