"""``self-test``: whether this environment has what the engine needs, computes, and segments the sample scene."""

from __future__ import annotations

import argparse
import importlib
import tempfile
from pathlib import Path

from rs_textseg_plugin.contract.catalog import set_folder
from rs_textseg_plugin.contract.errors import EngineError, ModelError
from rs_textseg_plugin.contract.events import Failed, Finished
from rs_textseg_plugin.contract.grid import Extent
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene

# Those that are imported only where a method or a file needs them.
_PACKAGES = ("segment_anything", "open_clip", "transformers", "peft", "openai", "jinja2", "skimage", "pyogrio", "PIL")
_EXTENT = Extent(512064, 5402872, 512128, 5402936)  # 256 px of the sample scene


def add_self_test(parser: argparse.ArgumentParser) -> None:
    """Add the options to the parser of the command."""
    parser.add_argument("--device", default="auto", help="as in segment")
    parser.set_defaults(command=_self_test)


def _self_test(options: argparse.Namespace) -> int:
    finished = _segment_a_little(options.device)
    for name in _PACKAGES:  # after the run, which repairs a torchvision that was built for another torch
        importlib.import_module(name)
    for note in finished.notes:
        print(note)
    print(f"It was tested with the sample scene, on {finished.device}.")
    return 0


def _segment_a_little(device: str) -> Finished:
    from rs_textseg_plugin.engine.service import Engine

    demo = set_folder("demo")
    if demo is None:
        raise ModelError("The demo models are not in the plugin's folder: install the plugin again.")
    scene, query = Scene(str(demo / "scene.tif"), extent=_EXTENT), parse_class_list("building, road, grass")
    with tempfile.TemporaryDirectory() as folder:
        output = Output(str(Path(folder) / "result.gpkg"))
        events = list(Engine().run(Request(scene, query, Recipe(models="demo", device=device), output), lambda: False))
    last = events[-1]
    if isinstance(last, Finished):
        return last
    raise last.to_error() if isinstance(last, Failed) else EngineError("The sample scene gave no result.")
