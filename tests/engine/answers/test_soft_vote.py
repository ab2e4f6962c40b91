from __future__ import annotations

import numpy as np
import pytest
from planted import Truth, class_map_of, labelled, legend

from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.engine.answers.answer import Answer, PackedMask
from rs_textseg_plugin.engine.answers.class_map import ClassMap
from rs_textseg_plugin.engine.answers.soft_vote import SoftVote, Vote

NAMES = legend("building, road, water")
TILE = (30, 44)
WHOLE = Window(0, 0, TILE[1], TILE[0])


def vote(window: Window, scores, quality: float, mask: np.ndarray | None = None) -> Vote:
    mask = np.ones((window.height, window.width), bool) if mask is None else mask
    return Vote(window, PackedMask.of(mask), np.array(scores, np.float32), quality)


def undecided() -> ClassMap:
    """A dense map that gives a third to every class."""
    return class_map_of(np.full(TILE, -1), NAMES.size)


def random_dense(seed: int = 0) -> ClassMap:
    logits = np.random.default_rng(seed).normal(size=(1, 3, 5, 6)).astype(np.float16)
    whole = Window(0, 0, TILE[1], TILE[0])
    return ClassMap(logits, (whole,), whole, TILE, TILE)


def random_votes(count: int = 9, seed: int = 1) -> tuple[Vote, ...]:
    rng = np.random.default_rng(seed)
    votes = []
    for _ in range(count):
        window = Window(int(rng.integers(0, 30)), int(rng.integers(0, 20)), *map(int, rng.integers(3, 11, 2)))
        mask = rng.random((window.height, window.width)) > 0.3
        votes.append(vote(window, rng.dirichlet(np.ones(3)), float(rng.random()), mask))
    return tuple(votes)


def test_one_mask_draws_its_pixels_by_its_quality_times_the_weight():
    drawn = SoftVote(undecided(), (vote(Window(2, 3, 5, 4), (1, 0, 0), 0.5),), 2.0, True)
    found = drawn.probabilities(NAMES, WHOLE)
    np.testing.assert_allclose(found[:, 4, 4], [2 / 3, 1 / 6, 1 / 6], atol=1e-6)  # (1/3 + 2 * 0.5 * 1) / (1 + 2 * 0.5)
    np.testing.assert_allclose(found[:, 20, 20], 1 / 3, atol=1e-6)


def test_nested_masks_all_count():
    votes = (vote(Window(0, 0, 20, 20), (0, 1, 0), 0.4), vote(Window(5, 5, 3, 3), (1, 0, 0), 0.8))
    found = SoftVote(undecided(), votes, 1.0, True).probabilities(NAMES, WHOLE)
    np.testing.assert_allclose(found[:, 6, 6], np.array([1 / 3 + 0.8, 1 / 3 + 0.4, 1 / 3]) / 2.2, atol=1e-6)
    np.testing.assert_allclose(found[:, 15, 15], np.array([1 / 3, 1 / 3 + 0.4, 1 / 3]) / 1.4, atol=1e-6)


def literal(dense: ClassMap, votes: tuple[Vote, ...], weight: float, keeps_uncovered: bool) -> np.ndarray:
    """The definition, pixel by pixel."""
    own = dense.probabilities(NAMES, WHOLE).astype(float)
    result = np.zeros_like(own)
    for row in range(TILE[0]):
        for col in range(TILE[1]):
            over, under, covered = own[:, row, col].copy(), 1.0, False
            for one in votes:
                y, x = row - one.window.row, col - one.window.col
                if 0 <= y < one.window.height and 0 <= x < one.window.width and one.mask.unpack()[y, x]:
                    over += weight * one.quality * one.scores
                    under += weight * one.quality
                    covered = True
            result[:, row, col] = over / under if covered or keeps_uncovered else 0
    return result


@pytest.mark.parametrize(("weight", "keeps_uncovered"), [(1.0, True), (3.7, True), (1.0, False), (0.0, False)])
def test_the_map_equals_its_definition_done_pixel_by_pixel(weight, keeps_uncovered):
    dense, votes = random_dense(), random_votes()
    found = SoftVote(dense, votes, weight, keeps_uncovered).probabilities(NAMES, WHOLE)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, literal(dense, votes, weight, keeps_uncovered), atol=1e-5)
    assert (found == 0).all(axis=0).any() == (not keeps_uncovered)


@pytest.mark.parametrize("part", [Window(0, 0, 44, 30), Window(7, 5, 20, 13), Window(43, 29, 1, 1)])
def test_a_part_of_the_map_equals_that_part_of_the_whole(part):
    drawn = SoftVote(random_dense(), random_votes(), 1.5, False)
    whole = drawn.probabilities(NAMES, WHOLE)
    np.testing.assert_allclose(drawn.probabilities(NAMES, part), whole[(slice(None), *part.slices)], atol=1e-6)


def test_a_weight_of_zero_leaves_the_dense_map_as_it_is():
    found = SoftVote(random_dense(), random_votes(), 0.0, True).probabilities(NAMES, WHOLE)
    np.testing.assert_array_equal(found, random_dense().probabilities(NAMES, WHOLE))


def test_a_mask_that_only_one_tile_sees_fades_out_without_a_seam(tmp_path):
    size, overlap_px = (100, 160), 32
    truth = Truth(np.full(size, 1), np.zeros(size, int))

    def answer(tile):
        height, width = tile.window.height, tile.window.width
        logits = np.zeros((1, 3, 2, 2), np.float16)
        logits[0, 1] = 1.0  # road, with a probability of 0.58
        whole = Window(0, 0, width, height)
        dense = ClassMap(logits, (whole,), whole, (height, width), (height, width))
        votes = (vote(whole, (0, 1, 0), 0.9),) if tile.col_index == 0 else ()
        return Answer((), SoftVote(dense, votes, 4.0, True))

    scene = labelled(truth, tmp_path, 100, overlap_px, answer=answer)
    scores = scene.scores.read(scene.extent)
    own = np.exp(1) / (np.exp(1) + 2)
    drawn = (own + 3.6) / 4.6
    np.testing.assert_allclose(scores[:, 0], drawn, atol=1e-3)
    np.testing.assert_allclose(scores[:, -1], own, atol=1e-3)
    assert np.abs(np.diff(scores, axis=1)).max() < 1.5 * (drawn - own) / overlap_px
    assert len(scene.components.pixels) == 2  # nothing, and one road over both tiles
