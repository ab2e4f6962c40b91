"""The real zip: what the plugin site would say of it, and that it works after QGIS has unpacked it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from build_zip import FIXED_DATE, SIZE_LIMIT_BYTES, build_zip, find_problems
from rs_textseg_plugin.contract.catalog import load_catalog
from rs_textseg_plugin.contract.version import VERSION
from stage import ROOT

GOOD_METADATA = "\n".join(
    ["[general]", "version=1.2.3", "author=A", "icon=resources/icon.png"]
    + [f"{key}=text 100%" for key in ("name", "description", "qgisMinimumVersion", "email", "about", "tracker")]
    + ["repository=text"]
)
GOOD_ZIP = {
    "rs_textseg_plugin/__init__.py": "",
    "rs_textseg_plugin/LICENSE": "",
    "rs_textseg_plugin/metadata.txt": GOOD_METADATA,
    "rs_textseg_plugin/resources/icon.png": "",
}
REFUSED = [
    ({"rs_textseg_plugin/LICENSE": None}, "LICENSE is missing"),
    ({"rs_textseg_plugin/__init__.py": None}, "__init__.py is missing"),
    ({"rs_textseg_plugin/metadata.txt": None}, "metadata.txt is missing"),
    ({"other/module.py": ""}, "top folders"),
    ({"rs_textseg_plugin/__pycache__/a.txt": ""}, "__pycache__"),
    ({"rs_textseg_plugin/a.pyc": ""}, "a.pyc"),
    ({"rs_textseg_plugin/.git/config": ""}, ".git"),
    ({"rs_textseg_plugin/../a": ""}, ".."),
    ({"rs_textseg_plugin/a\\b": ""}, "a\\\\b"),
    ({"rs_textseg_plugin/resources/icon.png": None}, "icon"),
    ({"rs_textseg_plugin/metadata.txt": GOOD_METADATA.replace("icon.png", "icon.svg")}, "icon"),
    ({"rs_textseg_plugin/metadata.txt": GOOD_METADATA.replace("=A", "=A/B")}, "slash"),
    ({"rs_textseg_plugin/metadata.txt": GOOD_METADATA.replace("1.2.3", "1.2")}, "three numbers"),
    ({"rs_textseg_plugin/metadata.txt": GOOD_METADATA.replace("tracker=text 100%", "tracker=")}, "lacks tracker"),
    ({"rs_textseg_plugin/metadata.txt": GOOD_METADATA.replace("[general]", "[special]")}, "cannot be read"),
    ({"rs_textseg_plugin/metadata.txt": GOOD_METADATA.encode("utf-16")}, "cannot be read"),
    ({"rs_textseg_plugin/big.bin": os.urandom(SIZE_LIMIT_BYTES)}, "bytes"),
]


@pytest.fixture(scope="module")
def plugin_zip(tmp_path_factory) -> Path:
    return build_zip(tmp_path_factory.mktemp("zip") / "plugin.zip")


def write_zip(path: Path, changes: dict[str, str | bytes | None]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**GOOD_ZIP, **changes}.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def test_the_plugin_site_would_take_the_zip(plugin_zip):
    assert find_problems(plugin_zip) == []


def test_a_zip_that_keeps_every_rule_has_no_problem(tmp_path):
    assert find_problems(write_zip(tmp_path / "a.zip", {})) == []


def test_a_zip_that_breaks_a_rule_is_refused_with_the_reason(subtests, tmp_path):
    for changes, reason in REFUSED:
        with subtests.test(reason):
            problems = find_problems(write_zip(tmp_path / "a.zip", changes))
            assert len(problems) == 1
            assert reason in problems[0]


def test_two_builds_have_the_same_bytes(plugin_zip, tmp_path):
    again = build_zip(tmp_path / "new folder" / "again.zip")
    assert again.read_bytes() == plugin_zip.read_bytes()
    with zipfile.ZipFile(again) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {FIXED_DATE}
        assert archive.namelist() == sorted(archive.namelist())


def test_every_module_and_every_resource_is_in_the_zip(plugin_zip):
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "rs_textseg_plugin").rglob("*.py")}
    resources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "resources").rglob("*") if path.is_file()}
    with zipfile.ZipFile(plugin_zip) as archive:
        names = set(archive.namelist())
    assert package <= names
    assert {f"rs_textseg_plugin/{name}" for name in resources} <= names
    assert {f"rs_textseg_plugin/{name}" for name in ("requirements.txt", "CHANGELOG.md")} <= names


def test_the_contract_works_from_the_unpacked_zip(plugin_zip, tmp_path):
    with zipfile.ZipFile(plugin_zip) as archive:
        archive.extractall(tmp_path)
    code = (
        "import json, rs_textseg_plugin.contract.catalog as catalog, rs_textseg_plugin.contract.wire as wire\n"
        "print(json.dumps([catalog.__file__, [entry.id for entry in catalog.load_catalog()]]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    file, ids = json.loads(result.stdout)
    assert Path(file) == tmp_path / "rs_textseg_plugin" / "contract" / "catalog.py"
    assert ids == [entry.id for entry in load_catalog()]


def test_the_zip_and_the_contract_have_the_same_version(plugin_zip):
    with zipfile.ZipFile(plugin_zip) as archive:
        metadata = archive.read("rs_textseg_plugin/metadata.txt").decode("utf-8").splitlines()
    assert f"version={VERSION}" in metadata
