"""Command line, Processing and dock understand the same words, and refuse the same mistakes with the same sentences."""

from __future__ import annotations

import pytest
from qgis.core import QgsCoordinateReferenceSystem, QgsProcessingContext, QgsProject, QgsRasterLayer, QgsSettings

from rs_textseg_plugin.engine import service
from rs_textseg_plugin.engine.__main__ import main
from rs_textseg_plugin.gui.state.query_model import QueryModel
from rs_textseg_plugin.gui.state.vlm_choice import VlmChoice
from rs_textseg_plugin.host.settings import PREFIX

URL = "https://api.example.org/v1"
ASKING = ["--phrase", "a roof", "--pipeline", "vlm-sam", "--param", f"base_url={URL}", "model=gpt-5"]
ASKED = {"TEXT": "", "PHRASE": "a roof", "PIPELINE": "vlm-sam", "BASE_URL": URL, "MODEL": "gpt-5"}
ROAD = ["--text", "road"]

MISTAKES = {
    "bands": ([*ROAD, "--bands", "1,2"], {"BANDS": "1,2"}, "The bands '1,2' are not understood"),
    "stretch": ([*ROAD, "--stretch", "much"], {"STRETCH": "much"}, "The stretch 'much' is not understood"),
    "nodata": ([*ROAD, "--nodata", "x"], {"NODATA": "x"}, "The nodata value 'x' is not understood"),
    "resolution": ([*ROAD, "--resolution=-1"], {"RESOLUTION": -1}, "The resolution '-1' is not understood"),
    "no resolution": ([*ROAD, "--resolution=x"], {"RESOLUTION": "x"}, "The resolution 'x' is not understood"),
    "device": ([*ROAD, "--device", "gpu"], {"DEVICE": "gpu"}, "There is no device 'gpu'"),
    "precision": ([*ROAD, "--precision", "fp8"], {"PRECISION": "fp8"}, "There is no precision 'fp8'"),
    "pipeline": ([*ROAD, "--pipeline", "magic"], {"PIPELINE": "magic"}, "There is no pipeline 'magic'"),
    "preset of another method": ([*ROAD, "--preset", "native"], {"PRESET": "native"}, "not of sam-clip: choose paper"),
    "no preset": ([*ROAD, "--preset", "magic"], {"PRESET": "magic"}, "There is no preset 'magic'"),
    "parameter twice": (
        [*ROAD, "--param", "min_area_m2=1", "min_area_m2=2"],
        {"PARAMETERS": "min_area_m2=1;min_area_m2=2"},
        "The parameter 'min_area_m2' is given twice: keep one.",
    ),
    "address twice": (
        [*ASKING, f"base_url={URL}"],
        {**ASKED, "PARAMETERS": f"base_url={URL}"},
        "The parameter 'base_url' is given twice: keep one.",
    ),
    "no pair": ([*ROAD, "--param", "tile_px"], {"PARAMETERS": "tile_px"}, "'tile_px' is not understood: write key="),
    "unknown parameter": ([*ROAD, "--param", "magic=1"], {"PARAMETERS": "magic=1"}, "has no parameter 'magic'"),
    "value": (
        [*ROAD, "--param", "points_per_side=many"],
        {"PARAMETERS": "points_per_side=many"},
        "points_per_side='many' is not understood",
    ),
    "values": (
        [*ROAD, "--param", "tile_px=128", "overlap_px=128"],
        {"PARAMETERS": "tile_px=128;overlap_px=128"},
        "overlap_px=128 is more than half of tile_px=128",
    ),
    "class list": (
        [*ROAD, "--pipeline", "vlm-sam"],
        {"PIPELINE": "vlm-sam"},
        "vlm-sam answers phrases and questions, and a class list was given",
    ),
    "phrase": (["--phrase", "a roof"], {"TEXT": "", "PHRASE": "a roof"}, "sam-clip answers class lists, no phrases"),
    "negatives": (["--text", "-shadow"], {"TEXT": "-shadow"}, "only negative classes"),
    "no question": (["--text", " "], {"TEXT": " "}, "exactly one of these: a class list, the name of a class list, a"),
    "word list": (
        ["--word-list", "lovda"],
        {"TEXT": "", "WORD_LIST": "lovda"},
        "There is no word list 'lovda'",
    ),
    "no model": ([*ASKING[:-1]], {**ASKED, "MODEL": ""}, "needs the name of a model on that server"),
    "no consent": (ASKING, ASKED, f"would leave this machine for {URL}, and nobody agreed to that"),
}


@pytest.fixture
def on_command_line(raster_file, tmp_path, capfd):
    """Run the command, and return its exit status and what it printed for people."""

    def on_command_line(*options):
        status = main(["segment", str(raster_file), "--out", str(tmp_path / "result.gpkg"), *options])
        return status, capfd.readouterr().err.strip().splitlines()[-1]

    return on_command_line


@pytest.fixture
def in_processing(algorithm, raster_file, tmp_path):
    """Return what Processing says of values before it runs."""

    def in_processing(**values):
        given = {"INPUT": str(raster_file), "TEXT": "road", "OUTPUT": str(tmp_path / "result.gpkg"), **values}
        is_fine, why = algorithm.checkParameterValues(given, QgsProcessingContext())
        assert not is_fine
        return why

    return in_processing


@pytest.fixture
def model(qgis_app, raster_file):
    """The dock's model with a layer."""
    QgsSettings().remove(PREFIX)
    project = QgsProject()
    layer = QgsRasterLayer(str(raster_file), "aerial")
    project.addMapLayer(layer)
    model = QueryModel(project, lambda: (layer.extent(), QgsCoordinateReferenceSystem("EPSG:32633")))
    model.update(layer_id=layer.id(), text="road")
    yield model
    project.clear()
    QgsSettings().remove(PREFIX)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_command_line_and_processing_say_the_same(on_command_line, in_processing, mistake):
    options, values, words = MISTAKES[mistake]
    status, sentence = on_command_line(*options)
    assert status == 2
    assert words in sentence
    assert in_processing(**values) == sentence


def test_two_questions_are_refused_in_processing_as_by_the_builder(on_command_line, in_processing, capfd):
    assert in_processing(PHRASE="a roof").endswith("You gave a class list and a phrase.")
    with pytest.raises(SystemExit, match="2"):  # the parser of the command line does not take both
        on_command_line(*ROAD, "--phrase", "a roof")
    assert "--phrase: not allowed with argument --text" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("mistake", "choices", "field"),
    [
        ("resolution", {"ground_resolution_m": -1}, "parameters"),
        ("device", {"device": "gpu"}, "parameters"),
        ("preset of another method", {"preset": "native"}, "parameters"),
        ("no preset", {"preset": "magic"}, "parameters"),
        ("unknown parameter", {"parameters": {"magic": 1}}, "parameters"),
        ("value", {"parameters": {"points_per_side": "many"}}, "parameters"),
        ("values", {"parameters": {"tile_px": 128, "overlap_px": 128}}, "parameters"),
        ("negatives", {"text": "-shadow"}, "text"),
    ],
)
def test_the_dock_says_what_the_command_line_says(model, on_command_line, mistake, choices, field):
    assert model.can_run
    model.update(**choices)
    assert not model.can_run
    assert getattr(model.problems, field) == on_command_line(*MISTAKES[mistake][0])[1]


def test_the_dock_asks_for_consent_where_the_others_refuse(model):
    wanted = []
    model.consent_wanted.connect(wanted.append)
    model.submitted.connect(wanted.append)
    model.update(pipeline="vlm-sam", phrase="a roof", vlm=VlmChoice(base_url=URL, model="gpt-5"))
    model.submit()
    assert [sending.base_url for sending in wanted] == [URL]


@pytest.mark.parametrize("bands", ["3 2 1", "3,2,1", " 3 , 2 ,1 "])
@pytest.mark.parametrize("device", ["mps", "cuda:1"])
def test_the_same_words_make_the_same_request(on_command_line, request_of, monkeypatch, bands, device):
    requests = []

    def keep(request, should_stop):
        requests.append(request)
        return iter(())

    monkeypatch.setattr(service, "run", keep)  # what is read is compared, and nothing has to run on that device
    options = ["--bands", bands, "--device", device, "--stretch", "range:0:200", "--nodata", "nan"]
    parameters = ["--param", "points_per_side=8", "min_area_m2=20", "--preset", "paper", "--resolution", "0.25"]
    with pytest.raises(IndexError):  # a run prints nothing then
        on_command_line(*ROAD, *options, *parameters)
    request = request_of(
        text="road",
        BANDS=bands,
        DEVICE=device,
        STRETCH="range:0:200",
        NODATA="nan",
        PARAMETERS="points_per_side=8; min_area_m2=20",
        PRESET="paper",
        RESOLUTION=0.25,
    )
    (typed,) = requests
    assert request.scene.bands == (3, 2, 1)
    assert repr(request.scene) == repr(typed.scene)  # nan is not equal to itself
    assert (request.recipe, request.query) == (typed.recipe, typed.query)
