"""Where the plugin's own files lie, and what it fetched."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rs_textseg_plugin.contract.catalog import models_home
from rs_textseg_plugin.contract.folders import PACKAGE_FOLDER, data_home, package_file


@pytest.mark.parametrize(
    ("platform", "variable", "inside"),
    [("linux", "XDG_DATA_HOME", "rs_textseg"), ("win32", "LOCALAPPDATA", "rs_textseg")],
)
def test_data_lies_in_the_folder_that_the_system_names(monkeypatch, tmp_path, platform, variable, inside):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv(variable, str(tmp_path))
    assert data_home() == tmp_path / inside


def test_without_a_name_data_lies_in_the_users_home(monkeypatch):
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert data_home().is_relative_to(Path.home() / ".local")


def test_models_lie_beside_the_other_data_unless_they_were_moved(monkeypatch, tmp_path):
    monkeypatch.delenv("RS_TEXTSEG_MODELS", raising=False)
    assert models_home() == data_home() / "models"
    monkeypatch.setenv("RS_TEXTSEG_MODELS", str(tmp_path))
    assert models_home() == tmp_path


def test_a_file_of_the_staged_plugin_is_found_inside_it():
    assert package_file("requirements.txt") == PACKAGE_FOLDER / "requirements.txt"
    assert package_file("requirements.txt").is_file()


def test_a_missing_file_is_expected_inside_the_plugin():
    assert package_file("nothing.txt") == PACKAGE_FOLDER / "nothing.txt"
