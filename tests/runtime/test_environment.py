from __future__ import annotations

import sys
import venv

import pytest

from rs_textseg_plugin.contract.errors import EngineUnavailable
from rs_textseg_plugin.runtime.environment import (
    INTERPRETER_VARIABLE,
    find_interpreter,
    interpreter_in,
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


def test_without_an_environment_the_message_holds_the_commands_that_make_one():
    with pytest.raises(EngineUnavailable) as caught:
        find_interpreter()
    lines = str(caught.value).splitlines()
    assert lines[1] == f'python3 -m venv "{private_environment()}"'
    assert lines[2] == f'"{interpreter_in(private_environment())}" -m pip install -r "{requirements_file()}"'
    assert INTERPRETER_VARIABLE in lines[3]


def test_the_requirements_lie_in_the_plugins_folder():
    assert requirements_file().parent.name == "rs_textseg_plugin"
    assert "segment-anything" in requirements_file().read_text()
