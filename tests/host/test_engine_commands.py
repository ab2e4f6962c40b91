from __future__ import annotations

import sys
from pathlib import Path

from rs_textseg_plugin.host.engine_commands import how_to_fetch
from rs_textseg_plugin.runtime.environment import INTERPRETER_VARIABLE


def test_a_model_set_is_fetched_by_commands_that_can_be_copied(qgis_app, monkeypatch):
    monkeypatch.setenv(INTERPRETER_VARIABLE, sys.executable)
    _, folder, command = how_to_fetch("sam-b").split("\n")
    assert (Path(folder[4:-1]) / "rs_textseg_plugin" / "engine" / "__main__.py").is_file()
    assert command == f'"{sys.executable}" -m rs_textseg_plugin.engine models fetch sam-b'


def test_without_an_engine_its_installation_comes_first(qgis_app, monkeypatch, tmp_path):
    monkeypatch.delenv(INTERPRETER_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert " install" in how_to_fetch("sam-b")
