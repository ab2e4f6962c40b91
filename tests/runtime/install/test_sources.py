"""What the user told pip, compared with what pip itself reads."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rs_textseg_plugin.runtime.install.sources import PackageSources, user_sources


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder and a system without settings of pip's."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "system"))
    for name in list(os.environ):
        if name.startswith("PIP_") or name == "XDG_CONFIG_HOME":
            monkeypatch.delenv(name)
    return tmp_path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def told_by_pip():
    """Return what pip itself makes of its files."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = (line.partition("=") for line in listed.splitlines())
    return {name.removeprefix("global."): value.strip("'") for name, _, value in rows}


def test_the_users_file_counts_more_than_the_systems_and_a_variable_most(home, monkeypatch):
    write(home / "system" / "pip" / "pip.conf", "[global]\nindex-url = https://system.invalid/\ncert = /c.pem\n")
    write(home / ".config" / "pip" / "pip.conf", "[global]\nindex_url = https://user.invalid/\nproxy = proxy:8080\n")
    sources = user_sources(os.environ)
    assert sources.index == "https://user.invalid/"
    pips = told_by_pip()
    assert (sources.proxy, sources.certificates) == (pips["proxy"], pips["cert"])
    monkeypatch.setenv("PIP_INDEX_URL", "https://variable.invalid/")
    assert user_sources(os.environ).index == "https://variable.invalid/"


def test_lists_hold_several_places_and_folders_of_the_home_are_followed(home):
    text = "[global]\nextra-index-url =\n    https://a.invalid/\n    https://b.invalid/\n[install]\nfind-links = ~/w\n"
    write(home / ".config" / "pip" / "pip.conf", text)
    sources = user_sources(os.environ)
    assert sources.more_indexes == ("https://a.invalid/", "https://b.invalid/")
    assert sources.folders == (str(home / "w"),)


def test_a_file_that_is_named_counts_and_the_null_device_leaves_all_files_out(home, monkeypatch):
    write(home / ".config" / "pip" / "pip.conf", "[global]\nproxy = user:8080\n")
    write(home / "own.conf", "[global]\nindex-url = https://own.invalid/\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(home / "own.conf"))
    assert user_sources(os.environ).index == "https://own.invalid/" == told_by_pip()["index-url"]
    assert user_sources(os.environ).proxy == ""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    assert user_sources(os.environ) == PackageSources()


def test_a_damaged_file_is_passed_over(home):
    before = user_sources(os.environ)
    write(home / ".config" / "pip" / "pip.conf", "no section")
    assert user_sources(os.environ) == before


def test_the_proxys_password_is_in_no_command_line():
    sources = PackageSources(index="https://i.invalid/", proxy="http://ada:sesame@proxy:8080", certificates="/c.pem")
    assert "sesame" not in " ".join(sources.options)
    assert sources.variables["HTTPS_PROXY"] == "http://ada:sesame@proxy:8080"
    assert sources.variables["SSL_CERT_FILE"] == "/c.pem"


def test_a_folder_of_wheels_asks_no_index(tmp_path):
    assert PackageSources.from_folder(tmp_path).options == ["--no-index", "--find-links", str(tmp_path)]
