from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyogrio
import pytest
import rasterio
import torch
from planted import Truth, labelled
from tiny_detector import write_tiny_detector
from tiny_pipelines import CPU, answered, firm_sam, never, settings_of, small_clip, small_scene, tile_of, values_of

from rs_textseg_plugin.contract.errors import Cancelled, ModelError, RecipeError
from rs_textseg_plugin.contract.events import Finished
from rs_textseg_plugin.contract.grid import Window
from rs_textseg_plugin.contract.pipelines.text2seg import read_branches
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.contract.recipe import Recipe, find_pipeline
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.answers.answer import NO_CLASS, PackedMask, Segment
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.answers.mask_votes import best_scores, mean_votes, vote_map
from rs_textseg_plugin.engine.compute.device import Budget
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.models.clip import ClipModel
from rs_textseg_plugin.engine.models.grounding_dino import load_grounding_dino
from rs_textseg_plugin.engine.models.sam import SamModel
from rs_textseg_plugin.engine.mosaic.mosaic import LabelledScene
from rs_textseg_plugin.engine.pipelines import grounding_sam, sam_clip, surgery_sam
from rs_textseg_plugin.engine.pipelines.text2seg import Settings, Text2Seg, make_branches, union_of, vote_of
from rs_textseg_plugin.engine.raster.reader import TileImage
from rs_textseg_plugin.engine.service import Engine

TILE = (64, 96)
TEXT = "building|roof, road, -shadow"
SMALL = {
    "templates": "1", "clip_long_side_px": 96, "clip_window_px": 64, "clip_stride_px": 32, "points_per_side": 3,
    "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "prob_threshold": 0.0, "logit_scale": 20.0,
    "box_threshold": 0.1, "text_threshold": 0.1, "competitor": "background",
}  # fmt: skip


@pytest.fixture(scope="module")
def clip() -> ClipModel:
    return small_clip()


@pytest.fixture(scope="module")
def sam() -> SamModel:
    return firm_sam()


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return load_grounding_dino(write_tiny_detector(tmp_path_factory.mktemp("dino"), 1), CPU, torch.float32)


@pytest.fixture(scope="module")
def tile() -> TileImage:
    return tile_of(*TILE)


def legend(text=TEXT) -> Legend:
    return Legend.of(parse_class_list(text), "background", closed_list=True)


def pipeline(sam, clip, detector, text=TEXT, **given) -> Text2Seg:
    branches = make_branches(sam, clip, detector, values_of("text2seg", **{**SMALL, **given}), legend(text))
    return Text2Seg(sam, branches, settings_of("text2seg", Settings, **{**SMALL, **given}), legend(text))


def own(pipeline: str, kind: type, **given):
    """The settings of a method for itself, as far as it has the parameters of `SMALL`."""
    return settings_of(pipeline, kind, **find_pipeline(pipeline).own(SMALL), **given)


def described(segments):
    return [(s.window, s.mask.bits.tobytes(), s.label, s.scores.round(6).tolist()) for s in segments]


def test_the_union_is_every_mask_of_the_three_methods_each_for_itself(sam, clip, detector, tile):
    alone = [
        grounding_sam.GroundingSam(sam, detector, own("grounding-sam", grounding_sam.Settings), legend()),
        surgery_sam.SurgerySam(sam, clip, own("surgery-sam", surgery_sam.Settings, objects="instances"), legend()),
        sam_clip.SamClip(sam, clip, own("sam-clip", sam_clip.Settings, selector="crop"), legend()),
    ]
    expected = [described(answered(one, tile).segments) for one in alone]
    assert all(expected)
    answer = answered(pipeline(sam, clip, detector, combine="union"), tile)
    assert described(answer.segments) == [one for part in expected for one in part]
    assert answer.class_map is None
    for branch, part in zip(("boxes", "points", "crops"), expected):
        assert (
            described(answered(pipeline(sam, clip, detector, combine="union", branches=branch), tile).segments) == part
        )


def test_sam_encodes_a_tile_once_for_all_branches(sam, clip, detector, tile, monkeypatch):
    looks, embed = [], SamModel.embed
    monkeypatch.setattr(SamModel, "embed", lambda *a: looks.append(1) or embed(*a))
    answered(pipeline(sam, clip, detector), tile)
    assert len(looks) == 1


def segment(place, label, score) -> Segment:
    rows, columns = place
    mask = np.ones((rows.stop - rows.start, columns.stop - columns.start), bool)
    scores = np.full(3, 0.05, np.float32)
    scores[label] = score
    return Segment(Window(columns.start, rows.start, mask.shape[1], mask.shape[0]), PackedMask.of(mask), label, scores)


WHOLE = Window(0, 0, TILE[1], TILE[0])
ALIKE = {"boxes": 1.0, "points": 1.0, "crops": 1.0}
LEFT, MIDDLE, RIGHT = np.s_[0:64, 0:40], np.s_[0:64, 30:60], np.s_[0:64, 50:96]


def probabilities(said) -> np.ndarray:
    names = legend()
    scores = [best_scores(segments, TILE) for segments in said]
    return vote_map(mean_votes(scores, TILE), names, TILE).probabilities(names, WHOLE)


def test_branches_count_by_their_weights():
    sure, unsure = (np.full(TILE, value, np.float32) for value in (0.9, 0.3))
    votes = mean_votes([{0: sure}, {0: unsure, 1: sure}, {}], TILE, [2.0, 1.0, 1.0])
    np.testing.assert_allclose(votes[0], (2 * 0.9 + 0.3) / 4, rtol=1e-6)
    np.testing.assert_allclose(votes[1], 0.9 / 4, rtol=1e-6)
    said = {"boxes": [], "points": [segment(LEFT, 0, 0.8)], "crops": [segment(LEFT, 1, 0.7)]}
    for weight, label in ((1.0, 0), (0.5, 1)):
        found = vote_of(said, legend(), TILE, {**ALIKE, "points": weight}).class_map.probabilities(legend(), WHOLE)
        assert (found.argmax(axis=0)[LEFT] == label).all()


def test_a_class_has_the_mean_over_the_branches_of_their_scores():
    said = [[segment(LEFT, 0, 0.9)], [segment(MIDDLE, 0, 0.6), segment(RIGHT, 1, 0.3)], []]
    found = probabilities(said)
    expected = np.zeros((3, *TILE))
    expected[0][LEFT] += 0.3
    expected[0][MIDDLE] += 0.2
    expected[1][RIGHT] += 0.1
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_masks_of_one_branch_and_class_do_not_add_up():
    found = probabilities([[segment(LEFT, 0, 0.4), segment(LEFT, 0, 0.7)]])
    np.testing.assert_allclose(found[0][LEFT], 0.7, atol=1e-3)


def test_scores_that_add_up_to_more_than_one_share_it():
    found = probabilities([[segment(LEFT, 0, 0.9), segment(LEFT, 1, 0.6)]])
    np.testing.assert_allclose(found[:2, 0, 0], [0.6, 0.4], atol=1e-3)


def test_what_no_branch_found_has_no_probability_and_what_abstained_does_not_vote():
    assert probabilities([[], [replace(segment(LEFT, 0, 0.9), label=NO_CLASS)]]).max() < 1e-12


def test_a_vote_is_the_map_of_the_branches_masks_and_counts_them(sam, clip, detector, tile):
    union = answered(pipeline(sam, clip, detector, combine="union"), tile).segments
    vote = answered(pipeline(sam, clip, detector), tile)
    assert vote.segments == ()
    assert sorted(vote.merged) == sorted(one.label for one in union)
    assert vote.class_map.probabilities(legend(), WHOLE).max() > 0.1


def remarks_at(said, *pixels) -> list[str]:
    remarks = vote_of(said, legend(), TILE, ALIKE).remarks
    return [remarks.texts[remarks.numbers[pixel]] for pixel in pixels]


def test_a_vote_says_which_branches_have_a_mask_of_the_class_that_wins_at_a_pixel():
    said = {
        "boxes": [segment(LEFT, 0, 0.9)],
        "points": [segment(MIDDLE, 0, 0.6), segment(RIGHT, 1, 0.7)],
        "crops": [segment(LEFT, 1, 0.2), replace(segment(RIGHT, 0, 0.9), label=NO_CLASS)],
    }
    found = remarks_at(said, (5, 5), (5, 35), (5, 45), (5, 55), (5, 80))
    assert found == ["boxes", "boxes+points", "points", "points", "points"]
    del said["points"]
    assert remarks_at(said, (5, 5), (5, 80)) == ["boxes", ""]


def test_of_two_classes_with_the_same_mean_the_remark_is_that_of_the_one_that_wins():
    said = {"boxes": [segment(LEFT, 1, 0.5)], "points": [segment(LEFT, 0, 0.5)], "crops": [segment(LEFT, 0, 0.25)]}
    assert remarks_at(said, (0, 0)) == ["points+crops"]
    said["crops"] = []
    assert probabilities(said.values())[:, 0, 0].argmax() == 0
    assert remarks_at(said, (0, 0)) == ["points"]


def across_a_seam(folder, join, stop) -> LabelledScene:
    """Two tiles of 64 px with 32 px in common, whose cores meet at column 48, and an object from column 10 to `stop`.

    In the left tile two branches find it, in the right one only one does.
    """

    def answer(tile):
        is_left = tile.col_index == 0
        found = [segment(np.s_[20:40, 10:64] if is_left else np.s_[20:40, 0 : stop - 32], 0, 0.9)]
        return join({"boxes": found if is_left else [], "points": found}, (64, 64))

    truth = Truth(np.zeros((64, 96)), np.zeros((64, 96)))
    return labelled(truth, folder, 64, 32, answer=answer, prob_threshold=0.4)


def voted(said, size):
    return vote_of(said, legend(), size, ALIKE)


def united(said, size):
    return union_of(said)


@pytest.mark.parametrize(
    ("join", "stop", "expected"),
    [(voted, 90, "points"), (voted, 70, "boxes+points"), (united, 90, "points"), (united, 70, "boxes")],
)
def test_an_object_across_a_seam_has_one_remark_that_of_most_of_its_pixels(tmp_path, join, stop, expected):
    components = across_a_seam(tmp_path, join, stop).components
    assert components.pixels.tolist()[1:] == [20 * (stop - 10)]
    assert components.remarks.tolist() == ["", expected]


def test_a_least_vote_that_is_not_reached_leaves_the_pixel_without_a_class(sam, clip, detector):
    assert pipeline(sam, clip, detector, least_vote=0.7).prob_threshold == 0.7


def test_without_a_detector_the_other_branches_go_on_and_boxes_alone_are_refused(sam, clip, tile):
    assert answered(pipeline(sam, clip, None), tile).merged
    with pytest.raises(ModelError, match="branches=boxes needs a detector"):
        pipeline(sam, clip, None, branches="boxes")


def test_eighty_classes_at_once_end_well(sam, clip, detector, tile):
    text = ", ".join(f"thing {number}" for number in range(80))
    answer = answered(pipeline(sam, clip, detector, text, max_regions=1), tile)
    assert answer.class_map.probabilities(legend(text), WHOLE).shape == (80, *TILE)


def test_segments_of_one_pixel_in_the_tile_s_corners_vote_for_that_pixel():
    corners = [segment(np.s_[0:1, 0:1], 0, 0.9), segment(np.s_[63:64, 95:96], 1, 0.8)]
    answer = vote_of({"boxes": corners, "points": []}, legend(), TILE, ALIKE)
    found = answer.class_map.probabilities(legend(), WHOLE)
    assert found[0, 0, 0] == pytest.approx(0.45, abs=1e-3)
    assert found[1, 63, 95] == pytest.approx(0.4, abs=1e-3)
    assert (found.sum(axis=0) > 1e-6).sum() == 2
    assert [answer.remarks.texts[answer.remarks.numbers[place]] for place in ((0, 0), (63, 95), (5, 5))] == [
        "boxes", "boxes", "",
    ]  # fmt: skip


@pytest.mark.parametrize("combine", ["vote", "union"])
def test_an_image_in_which_no_branch_finds_anything_gives_nothing(sam, clip, detector, tile, combine):
    given = {"box_threshold": 1.0, "prob_threshold": 1.0, "combine": combine}
    answer = answered(pipeline(sam, clip, detector, **given), tile)
    assert set(answer.found) <= {NO_CLASS}
    if combine == "vote":
        assert answer.class_map.probabilities(legend(), WHOLE).max() < 1e-12


@pytest.mark.parametrize("combine", ["vote", "union"])
@pytest.mark.parametrize("size", [(8, 130), (130, 8), (33, 97)])
def test_narrow_tiles_end_well(sam, clip, detector, combine, size):
    answer = answered(pipeline(sam, clip, detector, combine=combine, clip_long_side_px=0), tile_of(*size))
    if combine == "vote":
        assert answer.remarks.numbers.shape == size
    assert answer.found


def test_a_cancel_is_heard(sam, clip, detector, tile):
    method = pipeline(sam, clip, detector)
    with pytest.raises(Cancelled):
        method.observe(tile, RunControl(Budget(CPU), lambda: True))
    seen = method.observe(tile, RunControl(Budget(CPU)))
    with pytest.raises(Cancelled):
        method.answer(seen, RunControl(Budget(CPU), lambda: True))


def test_branches_are_read_in_one_order_and_unknown_ones_are_refused():
    assert read_branches(" crops,boxes ,") == ("boxes", "crops")
    with pytest.raises(RecipeError, match="no branch 'box' that exists: write some of boxes, points, crops"):
        read_branches("box")
    with pytest.raises(RecipeError, match="names none"):
        Recipe("text2seg", parameters={"branches": " , "}).checked_parameters()


@pytest.mark.parametrize("combine", ["vote", "union"])
def test_a_raster_is_segmented_and_a_missing_detector_is_said(tmp_path, tiny_models, combine):
    path = small_scene(tmp_path / "scene.tif", 64, 100)
    given = {**SMALL, "tile_px": 64, "overlap_px": 16, "combine": combine, "least_vote": 0.01, "least_presence": 0.0}
    recipe = Recipe("text2seg", str(tiny_models), given, device="cpu")
    request = Request(Scene(str(path)), parse_class_list("building, road"), recipe, Output(str(tmp_path / "out.gpkg")))
    finished = list(Engine().run(request, never))[-1]
    assert isinstance(finished, Finished)
    assert sum(row.count for row in finished.classes) > 0
    assert any("no detector" in note for note in finished.notes)
    branches = set(pyogrio.raw.read(request.output.path, columns=["branches"])[3][0])
    assert branches
    assert branches <= {"points", "crops", "points+crops"}


def test_classes_that_are_clear_nowhere_are_no_polygons_and_not_in_the_label_raster_and_are_named(
    tmp_path, tiny_models
):
    path = small_scene(tmp_path / "scene.tif", 64, 100)
    given = {**SMALL, "tile_px": 64, "overlap_px": 16, "least_vote": 0.01, "least_presence": 0.99}
    recipe = Recipe("text2seg", str(tiny_models), given, device="cpu")
    output = Output(str(tmp_path / "out.gpkg"), label_raster=str(tmp_path / "labels.tif"))
    request = Request(Scene(str(path)), parse_class_list("building, road"), recipe, output)
    finished = list(Engine().run(request, never))[-1]
    (note,) = [note for note in finished.notes if note.startswith("Taken as absent")]
    assert "'building'" in note or "'road'" in note
    assert pyogrio.read_info(output.path)["features"] == sum(row.count for row in finished.classes) == 0
    with rasterio.open(output.label_raster) as file:
        assert not file.read(1).any()


@pytest.mark.parametrize("combine", ["vote", "union"])
def test_a_result_in_which_nothing_was_found_is_written_and_empty(tmp_path, tiny_models, combine):
    path = small_scene(tmp_path / "scene.tif", 64, 100)
    given = {**SMALL, "tile_px": 64, "overlap_px": 16, "combine": combine, "prob_threshold": 1.0}
    recipe = Recipe("text2seg", str(tiny_models), given, device="cpu")
    request = Request(Scene(str(path)), parse_class_list("building, road"), recipe, Output(str(tmp_path / "out.gpkg")))
    list(Engine().run(request, never))
    info = pyogrio.read_info(request.output.path)
    assert (info["features"], info["fields"][-1]) == (0, "branches")
