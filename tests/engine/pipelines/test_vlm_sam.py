"""``vlm-sam`` from a question to polygons: a real server on loopback answers, the demo SAM draws."""

from __future__ import annotations

import json
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
import torch
from openai_server import OpenAiServer, Received, cut_off, fails, hangs, says
from rasterio.features import rasterize
from rasters import write_raster
from scipy.ndimage import distance_transform_edt, label
from tiny_qwen import FAMILIES, save_tiny_qwen

from rs_textseg_plugin.contract.errors import Cancelled, EngineError, ModelError, OutputError, QueryError, RecipeError
from rs_textseg_plugin.contract.events import Finished, Warned
from rs_textseg_plugin.contract.grid import Extent
from rs_textseg_plugin.contract.query import parse_class_list, parse_phrase
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.engine.models.sam import SamEmbedding, SamModel, fit_long_side, load_sam
from rs_textseg_plugin.engine.results.vector_file import PROVENANCE_KEY
from rs_textseg_plugin.engine.service import Engine
from rs_textseg_plugin.engine.vlm.model import Convention
from stage import ROOT

DEMO = ROOT / "resources" / "demo"
COL, ROW, SIDE = 1540, 870, 240  # of the view on the sample scene, in pixels; SAM sees it in one piece
PHRASE = "the large house beside the road"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@pytest.fixture(scope="module")
def transform():
    with rasterio.open(DEMO / "scene.tif") as dataset:
        return dataset.transform


def pixels(transform, geometry) -> np.ndarray:
    """The pixels of the view that a map geometry covers, ``(SIDE, SIDE)`` bool."""
    moved = transform * transform.translation(COL, ROW)
    return rasterize([geometry], out_shape=(SIDE, SIDE), transform=moved).astype(bool)


@pytest.fixture(scope="module")
def house(transform) -> np.ndarray:
    """The largest building that lies wholly in the view."""
    _, _, geometries, (classes, *_) = pyogrio.raw.read(DEMO / "truth.gpkg", layer="truth", columns=["class"])
    view = extent_box(transform)
    shapes = [one for one, name in zip(shapely.from_wkb(geometries), classes) if name == "building"]
    return pixels(transform, max((one for one in shapes if view.contains(one)), key=shapely.area))


def extent_box(transform):
    left, top = transform * (COL, ROW)
    right, bottom = transform * (COL + SIDE, ROW + SIDE)
    return shapely.box(left, bottom, right, top)


def box_of(mask: np.ndarray) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


def points_on(mask: np.ndarray, count: int = 3) -> list[list[float]]:
    """Points spread over a mask, away from its edges."""
    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    rows, columns = np.nonzero(depth > 0.6 * depth.max())
    chosen = np.linspace(0, len(rows) - 1, count).round().astype(int)
    return [[float(columns[i]) + 0.5, float(rows[i]) + 0.5] for i in chosen]


def answer(*instances: dict) -> str:
    return json.dumps({"instances": list(instances)})


def instance(mask: np.ndarray, label: str = "house", confidence: float = 0.9) -> dict:
    return {"label": label, "box": box_of(mask), "positive_points": points_on(mask), "confidence": confidence}


def request(folder: Path, transform, base_url: str = "", **parameters) -> Request:
    bounds = Extent(*extent_box(transform).bounds)
    given = {"min_area_m2": 0.0, "simplify_m": 0.0, "fill_holes_m2": 0.0, "self_test": False, **parameters}
    if base_url:
        given |= {"base_url": base_url, "model": "scripted", "tries": 1}
    recipe = Recipe("vlm-sam", "demo", given)
    output = Output(str(folder / "result.gpkg"), clicks=str(folder / "clicks.geojson"))
    return Request(Scene(str(DEMO / "scene.tif"), extent=bounds), parse_phrase(PHRASE), recipe, output, base_url)


def run(engine: Engine, asked: Request) -> tuple[Finished, list, list[dict]]:
    """Return the last event, the polygons and their attributes."""
    finished = list(engine.run(asked, lambda: False))[-1]
    meta, _, geometries, columns = pyogrio.raw.read(finished.path)
    rows = [dict(zip(meta["fields"], values)) for values in zip(*columns)]
    return finished, list(shapely.from_wkb(geometries)), rows


def view_of_scene() -> np.ndarray:
    with rasterio.open(DEMO / "scene.tif") as dataset:
        window = rasterio.windows.Window(COL, ROW, SIDE, SIDE)
        return np.ascontiguousarray(dataset.read([1, 2, 3], window=window).transpose(1, 2, 0))


def drawn_by_predictor(
    box: list[int] | None, points: list[list[float]], outside: tuple[list[float], ...] = ()
) -> np.ndarray:
    """The mask that segment_anything's own predictor rates best for the same prompts on the same pixels."""
    from segment_anything import SamPredictor  # after the engine's repair of torchvision

    predictor = SamPredictor(load_sam(DEMO / "sam_demo.safetensors", torch.device("cpu"), torch.float32).sam)
    predictor.set_image(view_of_scene())
    clicks = [*points, *outside]
    coords, marks = (np.array(clicks), np.array([1] * len(points) + [0] * len(outside))) if clicks else (None, None)
    masks, ratings, _ = predictor.predict(coords, marks, None if box is None else np.array(box), multimask_output=True)
    return masks[ratings.argmax()]


@pytest.mark.parametrize("prompts", ["box-and-points", "points", "box"])
def test_polygons_lie_where_the_predictor_of_sam_draws(prompts, engine, transform, house, serve, tmp_path):
    server: OpenAiServer = serve(says(answer(instance(house))))
    finished, polygons, rows = run(engine, request(tmp_path, transform, server.base_url, prompts=prompts))
    box = None if prompts == "points" else box_of(house)
    expected = drawn_by_predictor(box, [] if prompts == "box" else points_on(house))
    found = pixels(transform, shapely.union_all(polygons))
    assert expected.sum() > 100
    assert (found != expected).sum() <= 0.002 * expected.sum()
    assert {row["class"] for row in rows} == {PHRASE}
    assert {row["answer"] for row in rows} == {"house"}
    assert finished.clicks == str(tmp_path / "clicks.geojson")


def test_vlm_published_draws_six_clicks_two_of_them_beside_the_object(engine, transform, house, serve, tmp_path):
    left, top, right, bottom = box_of(house)
    inside, outside = points_on(house, 4), ([left - 4.5, top - 4.5], [right + 4.5, bottom + 4.5])
    said = {**instance(house), "positive_points": inside, "negative_points": list(outside)}
    server = serve(says(answer(said)))
    asked = request(tmp_path, transform, server.base_url)
    _, polygons, _ = run(engine, replace(asked, recipe=replace(asked.recipe, preset="vlm-published")))
    expected = drawn_by_predictor(None, inside, outside)  # the box of the answer counts for nothing
    found = pixels(transform, shapely.union_all(polygons))
    assert expected.sum() > 100
    assert (found != expected).sum() <= 0.002 * expected.sum()
    assert (drawn_by_predictor(box_of(house), inside, outside) != expected).sum() > 0.01 * expected.sum()


def test_the_house_that_was_meant_is_drawn(engine, transform, house, serve, tmp_path):
    server = serve(says(answer(instance(house, confidence=0.5))))
    finished, polygons, rows = run(engine, request(tmp_path, transform, server.base_url))
    found = pixels(transform, shapely.union_all(polygons))
    assert (found & house).sum() / (found | house).sum() >= 0.5
    assert 0 < rows[0]["score"] <= 0.5  # no surer than the model
    assert np.array_equal(server.received[0].picture, view_of_scene())
    assert PHRASE in server.received[0].question
    assert any("asked about 1 picture" in note and server.base_url in note for note in finished.notes)
    assert any("900 tokens in and 60 out" in note for note in finished.notes)


def test_nothing_there_is_an_honest_answer(engine, transform, serve, tmp_path):
    server = serve(says(answer()))
    finished, polygons, _ = run(engine, request(tmp_path, transform, server.base_url))
    assert polygons == []
    assert finished.classes[0].count == 0


def test_nothing_is_sent_without_consent(engine, transform, serve, tmp_path):
    server = serve(says(answer()))
    asked = request(tmp_path, transform, server.base_url)
    for consent in ("", "https://elsewhere.example/v1"):
        with pytest.raises(QueryError, match=rf"Nothing was sent.*{server.base_url}.*--consent-to-send"):
            list(engine.run(replace(asked, consent_to_send=consent), lambda: False))
    assert server.received == []
    assert not (tmp_path / "result.gpkg").exists()


def in_thousandths(points: list[list[float]], received: Received, is_y_first: bool) -> list[list[float]]:
    height, width = received.picture.shape[:2]
    moved = [[1000 * x / width, 1000 * y / height] for x, y in points]
    return [point[::-1] for point in moved] if is_y_first else moved


def boxed(label: str, box: list[float], received: Received, is_y_first: bool) -> dict:
    corners = in_thousandths([box[:2], box[2:]], received, is_y_first)
    return {"label": label, "box": [*corners[0], *corners[1]], "confidence": None}


def marks_in(received: Received, is_y_first: bool) -> list[dict]:
    """What a model says of the marks that it is shown, in thousandths, with the boxes that the picture itself shows."""
    colours = {"red": (220, 40, 40), "blue": (40, 70, 220), "yellow": (245, 220, 40), "white": (250, 250, 250),
               "black": (15, 15, 15), "purple": (140, 40, 170), "orange": (250, 140, 20)}  # fmt: skip
    boxes = {colour: box_of((received.picture == rgb).all(axis=2)) for colour, rgb in colours.items()}
    return [boxed(f"{colour} one", box, received, is_y_first) for colour, box in boxes.items()]


def looks(house: np.ndarray, is_y_first: bool):
    """A model of a family that nobody knows, which gives thousandths whatever it is asked for."""

    def answer_to(received: Received):
        if "red circle" in received.question:
            return says(answer(*marks_in(received, is_y_first)))
        return says(answer(boxed("house", box_of(house), received, is_y_first)))

    return answer_to


@pytest.mark.parametrize("is_y_first", [True, False])
def test_of_an_unknown_family_the_marks_decide_before_the_first_picture(
    is_y_first, engine, transform, house, serve, tmp_path
):
    server = serve(looks(house, is_y_first))
    finished, polygons, _ = run(engine, request(tmp_path, transform, server.base_url, self_test="auto"))
    convention = "grid-1000-yx" if is_y_first else "grid-1000"
    found = pixels(transform, shapely.union_all(polygons))
    assert (found != drawn_by_predictor(box_of(house), [])).sum() <= 0.002 * found.sum()
    assert len(server.received) == 2
    assert not (server.received[0].picture == view_of_scene()).all()
    assert np.array_equal(server.received[1].picture, view_of_scene())
    said = " ".join(finished.notes)
    assert "It is shown a drawn picture with known marks before them" in said
    assert "nothing of the raster. self_test=false leaves that out." in said
    assert f"So {convention} is taken in this run." in said
    assert "1800 tokens in and 120 out, the self-test's included" in said
    answered_by = json.loads((tmp_path / "clicks.geojson").read_text())["answered_by"]
    model = f"scripted at {server.base_url}"
    by = "the coordinate self-test"
    assert answered_by == {"model": model, "convention": convention, "convention_by": by}
    assert provenance_of(finished)["answered_by"] == answered_by


def provenance_of(finished: Finished) -> dict:
    return json.loads(pyogrio.read_info(finished.path)["layer_metadata"][PROVENANCE_KEY])


@pytest.mark.parametrize(
    "chosen",
    [{"self_test": "false"}, {"self_test": "auto", "model": "gemini-2.5-flash"}, {"convention": "pixels"}],
)
def test_nothing_more_is_asked_where_the_user_or_the_family_says_what_numbers_mean(
    chosen, engine, transform, serve, tmp_path
):
    server = serve(says(answer()))
    asked = request(tmp_path, transform, server.base_url)
    given = {**asked.recipe.parameters, "self_test": "auto", **chosen}
    run(engine, replace(asked, recipe=replace(asked.recipe, parameters=given)))
    assert len(server.received) == 1
    assert np.array_equal(server.received[0].picture, view_of_scene())


def test_where_the_marks_say_nothing_it_is_said_that_places_are_a_guess(engine, transform, house, serve, tmp_path):
    server = serve(says("What marks?"), says(answer(instance(house))))
    finished, polygons, _ = run(engine, request(tmp_path, transform, server.base_url, self_test="auto"))
    assert polygons
    assert any("which is a guess, so places may be wrong: set convention to one of" in note for note in finished.notes)
    answered_by = json.loads((tmp_path / "clicks.geojson").read_text())["answered_by"]
    assert answered_by["convention_by"] == "nobody: it is a guess"


def test_gemini_is_asked_and_read_with_y_before_x(engine, transform, house, serve, tmp_path):
    server = serve(looks(house, is_y_first=True))
    asked = request(tmp_path, transform, server.base_url)
    given = {**asked.recipe.parameters, "model": "gemini-2.5-flash", "self_test": "auto"}
    _, polygons, _ = run(engine, replace(asked, recipe=replace(asked.recipe, parameters=given)))
    found = pixels(transform, shapely.union_all(polygons))
    assert (found != drawn_by_predictor(box_of(house), [])).sum() <= 0.002 * found.sum()
    assert "[top, left, bottom, right]" in server.received[0].question


MALFORMED = {
    "prose": "I am sorry, I see a house and a road.",
    "nothing": "",
    "another object": '{"answer": "yes"}',
    "cut before the first": '{"instances": [{"label": "hou',
    "only thinking": "<think>There might be a house in",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_an_answer_that_cannot_be_used_ends_in_words(name, engine, transform, serve, tmp_path):
    server = serve(says(MALFORMED[name]))
    with pytest.raises(EngineError, match=r"No answer of scripted at|empty"):
        list(engine.run(request(tmp_path, transform, server.base_url), lambda: False))
    assert not (tmp_path / "result.gpkg").exists()


WRAPPED = {
    "fences": "Here it is:\n```json\n{}\n```\nDone.",
    "thinking": "<think>[1, 2, 3, 4] or so?</think><answer>{}</answer>",
    "single quotes": None,
    "strings": None,
}


@pytest.mark.parametrize("name", WRAPPED)
def test_an_answer_in_other_clothes_is_the_same_answer(name, engine, transform, house, serve, tmp_path):
    plain = instance(house)
    if name == "strings":
        text = json.dumps(
            [{"name": "house", "bbox_2d": [str(x) for x in plain["box"]], "points": plain["positive_points"]}]
        )
    elif name == "single quotes":
        text = answer(plain).replace('"', "'")
    else:
        text = WRAPPED[name].replace("{}", answer(plain))
    server = serve(says(text))
    _, polygons, _ = run(engine, request(tmp_path, transform, server.base_url))
    expected = drawn_by_predictor(box_of(house), points_on(house))
    assert (pixels(transform, shapely.union_all(polygons)) != expected).sum() <= 0.002 * expected.sum()


def test_what_of_an_answer_was_cut_off_or_wrong_is_said(engine, transform, house, serve, tmp_path):
    text = answer(instance(house), {"label": "ghost", "box": [5000, 5000, 5100, 5100]})[:-2] + ', {"label": "hal'
    server = serve(cut_off(text))
    finished, polygons, _ = run(engine, request(tmp_path, transform, server.base_url))
    assert polygons
    said = " ".join(finished.notes)
    assert "5000" in said
    assert "max_tokens" in said


def test_a_hung_server_is_left_within_two_seconds(engine, transform, serve, tmp_path):
    server = serve(hangs())
    cancelled: list[float] = []

    def stops() -> bool:
        if server.received and not cancelled:
            cancelled.append(time.monotonic())
        return bool(cancelled)

    with pytest.raises(Cancelled):
        list(engine.run(request(tmp_path, transform, server.base_url), stops))
    assert time.monotonic() - cancelled[0] < 2
    assert not (tmp_path / "result.gpkg").exists()


def test_clicks_can_be_moved_and_drawn_again_without_a_model(engine, transform, house, serve, tmp_path):
    server = serve(says(answer(instance(np.roll(house, 60, axis=1), "moved"))))
    run(engine, request(tmp_path, transform, server.base_url))
    clicks = tmp_path / "clicks.geojson"
    meta, _, _, columns = pyogrio.raw.read(clicks)
    assert meta["crs"] == "EPSG:32632"
    assert sorted(columns[list(meta["fields"]).index("kind")]) == ["box", "inside", "inside", "inside"]
    data = json.loads(clicks.read_text())
    for feature in data["features"]:  # back to where the house is
        moved = shapely.transform(shapely.geometry.shape(feature["geometry"]), lambda xy: xy - [60 * transform.a, 0])
        feature["geometry"] = shapely.geometry.mapping(moved)
    edited = tmp_path / "edited.geojson"
    edited.write_text(json.dumps(data))
    asked = request(tmp_path, transform, clicks=str(edited))
    _, polygons, rows = run(engine, replace(asked, output=Output(str(tmp_path / "again.gpkg"))))
    expected = drawn_by_predictor(box_of(house), points_on(house))
    assert (pixels(transform, shapely.union_all(polygons)) != expected).sum() <= 0.002 * expected.sum()
    assert {row["answer"] for row in rows} == {"moved"}
    assert len(server.received) == 1


class BrightSam(SamModel):
    """Draws what is bright in the box, as a perfect SAM would."""

    def __init__(self) -> None:
        pass

    input_px = 128

    def to(self, device, dtype) -> None:
        pass

    def embed(self, rgb) -> SamEmbedding:
        input_size = fit_long_side(*rgb.shape[:2], self.input_px)
        return SamEmbedding(torch.from_numpy(rgb[..., 0] > 128), input_size, rgb.shape[:2])

    def decode_together(self, embedding, box_px, points_px, is_inside, multimask):
        bright = torch.zeros(embedding.original_size, dtype=torch.bool)
        left, top, right, bottom = (round(value) for value in box_px.tolist())
        bright[top:bottom, left:right] = embedding.image_embeddings[top:bottom, left:right]
        logits = torch.full((1, 1, self.input_px, self.input_px), -10.0)
        logits[0, 0, : bright.shape[0], : bright.shape[1]][bright] = 10
        return logits, torch.tensor([[0.9]])


def test_a_sweep_asks_about_overlapping_views_and_joins_what_they_share(serve, tmp_path):
    """Of three things one lies in a single view, one in what two views share, one is longer than any view."""
    things = np.zeros((320, 320), bool)
    things[20:60, 20:70] = things[100:120, 105:125] = things[200:230, 15:290] = True
    path = write_raster(tmp_path / "things.tif", np.where(things, 250, 60).astype(np.uint8)[None].repeat(3, axis=0))

    def look(received: Received):
        regions, count = label(received.picture[..., 0] > 128)
        return says(answer(*(instance(regions == number) for number in range(1, count + 1))))

    engine, server = Engine(), serve(look)
    engine.models.get = lambda *_: BrightSam()
    views = {"view": "sweep", "tile_px": 128, "overlap_px": 32, "min_area_m2": 0.0, "simplify_m": 0.0}
    views["self_test"] = False
    recipe = Recipe("vlm-sam", "demo", {**views, "base_url": server.base_url, "model": "scripted"})
    asked = Request(
        Scene(str(path)), parse_phrase("bright things"), recipe, Output(str(tmp_path / "r.gpkg")), server.base_url
    )
    _, polygons, _ = run(engine, asked)
    assert len(server.received) == 9
    assert len(polygons) == 3
    with rasterio.open(path) as dataset:
        found = rasterize(polygons, out_shape=things.shape, transform=dataset.transform).astype(bool)
    assert np.array_equal(found, things)


def test_a_whole_view_is_made_coarser_where_it_is_too_large(engine, transform, serve, tmp_path):
    server = serve(says(answer()))
    finished, _, _ = run(engine, request(tmp_path, transform, server.base_url, view="whole", view_px=100))
    assert max(server.received[0].picture.shape[:2]) in (99, 100)
    assert any(f"{SIDE} x {SIDE} px was made one picture" in note for note in finished.notes)


def test_clip_can_reject_a_mask(engine, transform, house, serve, tmp_path):
    server = serve(says(answer(instance(house))))
    asked = request(
        tmp_path, transform, server.base_url, verify=True, competitor="building|house", verify_threshold=0.6
    )
    finished, polygons, _ = run(engine, replace(asked, query=parse_phrase("a car")))
    assert polygons == []
    assert "CLIP dropped 1 of the masks (verify=true)." in finished.notes
    _, polygons, _ = run(
        engine,
        replace(
            asked,
            query=parse_phrase("building"),
            recipe=replace(asked.recipe, parameters={**asked.recipe.parameters, "competitor": "water|car"}),
        ),
    )
    assert polygons


def test_a_later_view_that_fails_loses_nothing_of_the_others(engine, transform, house, serve, tmp_path):

    server = serve(says(answer(instance(house[:160, :160]))), fails(500, "broken"))
    asked = request(tmp_path, transform, server.base_url, view="sweep", tile_px=160, overlap_px=80)
    finished, _, _ = run(engine, asked)
    assert len(server.received) == 4  # the answer, and three failures in a row
    assert any("views have no answer" in note for note in finished.notes)


def test_what_does_not_fit_is_refused_in_words(engine, transform, tmp_path):
    asked = request(tmp_path, transform)
    with pytest.raises(RecipeError, match=r"needs a vision-language model.*vlm=FOLDER.*base_url=URL.*clicks=FILE"):
        list(engine.run(asked, lambda: False))
    with pytest.raises(QueryError, match="answers phrases and questions"):
        list(engine.run(replace(asked, query=parse_class_list("ship")), lambda: False))
    two = request(tmp_path, transform, "http://localhost:1/v1", vlm="folder")
    with pytest.raises(RecipeError, match="name two models"):
        list(engine.run(two, lambda: False))
    with pytest.raises(QueryError, match=r"The clicks .* cannot be read"):
        list(engine.run(request(tmp_path, transform, clicks="missing.geojson"), lambda: False))
    other = replace(asked, recipe=Recipe("sam-clip"), query=parse_class_list("ship"))
    with pytest.raises(OutputError, match="asks no vision-language model"):
        list(engine.run(other, lambda: False))


def test_what_is_sent_is_told_before_it_is(engine, transform, serve, tmp_path):
    server = serve(says(answer()))
    for event in engine.run(request(tmp_path, transform, server.base_url), lambda: False):
        if isinstance(event, Warned) and "stay on this machine" in event.message:
            assert server.received == []
            break
    else:
        pytest.fail("nobody said where the pictures go")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_on_this_machine_is_asked_through_the_same_code(family, engine, transform, tmp_path):
    """Random weights answer nothing that could be used; what they cost is told first, and nothing is written."""
    folder = save_tiny_qwen(tmp_path / "vlm", family)
    asked = request(tmp_path, transform, vlm=str(folder), max_tokens=16, inside_points=1)
    notes = []
    with pytest.raises(EngineError, match="No answer of vlm could be used"):
        notes.extend(event.message for event in engine.run(asked, lambda: False) if isinstance(event, Warned))
    assert not (tmp_path / "result.gpkg").exists()


def test_what_a_model_on_this_machine_costs_is_told_before_it_is_asked(engine, transform, tmp_path):
    folder = save_tiny_qwen(tmp_path / "vlm", FAMILIES[0])
    events = engine.run(request(tmp_path, transform, vlm=str(folder), max_tokens=16), lambda: False)
    told = next(event.message for event in events if isinstance(event, Warned) and "asked about" in event.message)
    assert re.search(
        r"vlm is asked about 1 picture of up to 240 x 240 px: about \d+ tokens of pictures, and about", told
    )


def test_the_convention_that_was_asked_for_reaches_a_model_on_this_machine(engine, transform, tmp_path):
    folder = save_tiny_qwen(tmp_path / "vlm", "qwen3_vl")
    given = {"vlm": str(folder), "max_tokens": 16, "convention": "pixels"}
    with pytest.raises(EngineError, match="No answer of vlm"):
        list(engine.run(request(tmp_path, transform, **given), lambda: False))
    model = engine.models.get_vlm(folder, None, torch.device("cpu"), torch.float32)
    assert (model.convention, model.most_tokens) == (Convention.PIXELS, 16)


def test_a_model_set_can_bring_its_own_vision_language_model(engine, transform, tmp_path):
    shutil.copy(DEMO / "sam_demo.safetensors", tmp_path)
    save_tiny_qwen(tmp_path / "vlm", FAMILIES[1])
    asked = request(tmp_path, transform, max_tokens=16)
    with pytest.raises(EngineError, match="No answer of vlm could be used"):
        list(engine.run(replace(asked, recipe=replace(asked.recipe, models=str(tmp_path))), lambda: False))


def test_a_folder_that_is_no_vision_language_model_is_refused(engine, transform, tmp_path):
    with pytest.raises(ModelError):
        list(engine.run(request(tmp_path, transform, vlm=str(tmp_path)), lambda: False))
