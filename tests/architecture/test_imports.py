"""Imports only point inwards, between rings and between rooms; the tables are in ``scripts/import_arrows.py``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from import_arrows import RING_ITSELF, ROOMS, find_wrong_arrows
from stage import PACKAGE, ROOT

WRONG_ARROWS = [
    ("contract/grid.py", "import numpy"),
    ("contract/grid.py", "from rs_textseg_plugin.engine import service"),
    ("contract/grid.py", "from rs_textseg_plugin.runtime.client import Client"),
    ("contract/grid.py", "def f():\n    import torch"),
    ("contract/grid.py", "from . import errors"),
    ("contract/grid.py", "from rs_textseg_plugin import plugin"),
    ("contract/grid.py", "import rs_textseg_plugin"),
    ("engine/service.py", "import qgis"),
    ("engine/service.py", "from qgis.core import QgsRasterLayer"),
    ("engine/service.py", "from PyQt5.QtCore import Qt"),
    ("engine/service.py", "class A:\n    def f(self):\n        from PyQt6 import QtCore"),
    ("engine/service.py", "from rs_textseg_plugin.runtime import client"),
    ("engine/service.py", "from rs_textseg_plugin.host.task import SegmentTask"),
    ("engine/mosaic/seams.py", "from ..raster import read"),
    ("runtime/client.py", "import psutil"),
    ("runtime/client.py", "from qgis.PyQt.QtCore import QProcess"),
    ("runtime/client.py", "from rs_textseg_plugin.host import task"),
    ("runtime/client.py", "def f():\n    from rs_textseg_plugin.engine.service import run"),
    ("runtime/in_process.py", "from rs_textseg_plugin.engine.service import run"),
    ("runtime/in_process.py", "def f():\n    import torch"),
    ("host/task.py", "from qgis.gui import QgsMapCanvas"),
    ("host/task.py", "from qgis.PyQt.QtWidgets import QWidget"),
    ("host/task.py", "from qgis.PyQt import QtWidgets"),
    ("host/task.py", "import numpy"),
    ("host/task.py", "from rs_textseg_plugin.gui.dock import Dock"),
    ("host/task.py", "import importlib\nimportlib.import_module('rs_textseg_plugin.engine.service')"),
    ("host/task.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from rs_textseg_plugin.gui import dock"),
    ("gui/dock.py", "from rs_textseg_plugin.runtime.client import Client"),
    ("gui/dock.py", "from rs_textseg_plugin.algorithms import provider"),
    ("gui/dock.py", "from PyQt5.QtWidgets import QWidget"),
    ("gui/dock.py", "import torch"),
    ("algorithms/provider.py", "from qgis.gui import QgsMapCanvas"),
    ("algorithms/provider.py", "from rs_textseg_plugin.gui import dock"),
    ("algorithms/provider.py", "import processing"),
    ("plugin.py", "def f():\n    from rs_textseg_plugin.engine import service"),
    ("plugin.py", "import numpy"),
    ("__init__.py", "import json"),
    ("__init__.py", "from rs_textseg_plugin.plugin import RsTextSegPlugin"),
    ("__init__.py", "def f():\n    from rs_textseg_plugin.engine import service"),
    ("__init__.py", "if True:\n    import qgis"),
    ("utils/text.py", "import json"),
    ("engine/models/clip.py", "from rs_textseg_plugin.engine.vlm.model import Reply"),
    ("engine/models/clip.py", "def f():\n    from rs_textseg_plugin.engine.loading.files import Checkpoint"),
    ("engine/vlm/endpoint/client.py", "from rs_textseg_plugin.engine.pipelines.inputs import PipelineInputs"),
    ("engine/results/polygons.py", "from rs_textseg_plugin.engine.job.plan import Plan"),
    ("engine/answers/legend.py", "from rs_textseg_plugin.engine import service"),
    ("engine/raster/reader.py", "import rs_textseg_plugin.engine.models.sam"),
    ("engine/helpers.py", "import json"),
    ("engine/utils/text.py", "import json"),
    ("contract/grid.py", "from rs_textseg_plugin.contract.text.phrase import read_phrase"),
    ("contract/tables/parameter.py", "from rs_textseg_plugin.contract.pipelines import PIPELINES"),
    ("gui/state/query_model.py", "from rs_textseg_plugin.gui.query.query_form import QueryForm"),
    ("gui/run/run_panel.py", "from rs_textseg_plugin.gui.query.query_form import QueryForm"),
    ("host/server/consent.py", "from rs_textseg_plugin.host.layers.style import style_raster"),
]

RIGHT_ARROWS = [
    (
        "contract/grid.py",
        "from __future__ import annotations\nimport json\nfrom rs_textseg_plugin.contract import errors",
    ),
    ("engine/service.py", "import torch\nfrom rs_textseg_plugin.contract.grid import Window\nimport rasterio"),
    ("engine/vlm/endpoint/client.py", "from rs_textseg_plugin.engine.vlm.model import Reply"),
    ("engine/job/plan.py", "from rs_textseg_plugin.engine.loading.files import resolve_set"),
    ("contract/text/phrase.py", "from rs_textseg_plugin.contract.query import Query"),
    ("gui/query/query_form.py", "from rs_textseg_plugin.gui.state.query_model import QueryModel"),
    ("runtime/client.py", "import asyncio\nfrom rs_textseg_plugin.contract import wire"),
    ("runtime/in_process.py", "def f():\n    from rs_textseg_plugin.engine.service import run"),
    (
        "host/task.py",
        "from qgis.core import QgsTask\nfrom qgis.PyQt.QtCore import Qt\nfrom qgis.PyQt.QtGui import QColor",
    ),
    ("host/task.py", "from rs_textseg_plugin.runtime.client import Client"),
    (
        "gui/dock.py",
        "from qgis.gui import QgsDockWidget\nfrom qgis.PyQt import QtWidgets\nfrom qgis.utils import iface",
    ),
    ("algorithms/provider.py", "from qgis.PyQt.QtGui import QIcon\nfrom rs_textseg_plugin.host import settings"),
    ("plugin.py", "from rs_textseg_plugin.gui import dock\nfrom rs_textseg_plugin.runtime import client"),
    ("__init__.py", "def classFactory(iface):\n    from rs_textseg_plugin.plugin import RsTextSegPlugin"),
    ("__init__.py", "if TYPE_CHECKING:\n    from qgis.gui import QgisInterface"),
]


def write_module(folder: Path, name: str, source: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source + "\n", encoding="utf-8")
    return folder


def test_every_import_of_the_package_points_inwards():
    assert find_wrong_arrows(ROOT / PACKAGE) == []


@pytest.mark.parametrize(("name", "source"), WRONG_ARROWS)
def test_a_wrong_arrow_is_found(tmp_path, name, source):
    problems = find_wrong_arrows(write_module(tmp_path, name, source))
    assert len(problems) == 1
    assert problems[0].startswith(name)


@pytest.mark.parametrize(("name", "source"), RIGHT_ARROWS)
def test_a_right_arrow_is_accepted(tmp_path, name, source):
    assert find_wrong_arrows(write_module(tmp_path, name, source)) == []


@pytest.mark.parametrize("ring", ROOMS)
def test_no_two_rooms_import_each_other_not_even_on_a_detour(ring):
    """Rooms that lie directly in a ring's folder count as one with its subfolders."""
    below = {room: set(others) - {RING_ITSELF} for room, others in ROOMS[ring].items() if room != RING_ITSELF}
    while below:
        floor = {room for room, others in below.items() if not others & set(below)}
        assert floor, f"These rooms import each other: {sorted(below)}"
        below = {room: others for room, others in below.items() if room not in floor}


@pytest.mark.parametrize("ring", ROOMS)
def test_a_room_of_the_table_exists(ring):
    for room in set(ROOMS[ring]) - {RING_ITSELF}:
        assert (ROOT / PACKAGE / ring / room).is_dir() or (ROOT / PACKAGE / ring / f"{room}.py").is_file(), room


def test_the_map_in_contributing_is_the_table_of_rooms():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]*) ?\|$", text[text.index("| engine room |") :], re.MULTILINE)
    described = {room: tuple(re.findall(r"`(\w+)`", others)) for room, others in rows}
    assert described == {room: others for room, others in ROOMS["engine"].items() if room != "__init__"}
