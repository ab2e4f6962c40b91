from __future__ import annotations

import subprocess
import sys
import venv

import pytest

from rs_textseg_plugin.contract.errors import EngineUnavailable
from rs_textseg_plugin.runtime.environment import (
    INTERPRETER_VARIABLE,
    find_interpreter,
    private_environment,
    requirements_file,
)


@pytest.fixture(autouse=True)
def no_interpreter(monkeypatch, tmp_path):
    monkeypatch.delenv(INTERPRETER_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


def test_the_environment_variable_names_the_interpreter(monkeypatch):
    monkeypatch.setenv(INTERPRETER_VARIABLE, sys.executable)
    assert str(find_interpreter()) == sys.executable


def test_a_variable_that_names_no_file_is_refused_with_its_value(monkeypatch):
    monkeypatch.setenv(INTERPRETER_VARIABLE, "/no/python")
    with pytest.raises(EngineUnavailable, match="RS_TEXTSEG_ENGINE_PYTHON names '/no/python'"):
        find_interpreter()


def test_the_private_environment_is_used_where_it_is_installed():
    venv.create(private_environment(), symlinks=True)
    assert find_interpreter().parent.parent == private_environment()
    assert find_interpreter().is_file()


def test_without_an_environment_the_message_holds_a_command_that_works_from_anywhere(tmp_path):
    with pytest.raises(EngineUnavailable) as caught:
        find_interpreter()
    _, command, other = str(caught.value).splitlines()
    assert INTERPRETER_VARIABLE in other
    assert command.startswith("python3 ")
    asked = command.replace(" install", f" status --folder {tmp_path / 'nothing'}")
    told = subprocess.run(asked, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "is not installed" in told.stdout, told.stderr


def test_the_requirements_lie_in_the_plugins_folder():
    assert requirements_file().parent.name == "rs_textseg_plugin"
    assert "segment-anything" in requirements_file().read_text()
