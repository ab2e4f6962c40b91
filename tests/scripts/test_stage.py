"""Staging writes the folder that QGIS loads."""

from __future__ import annotations

import py_compile
from pathlib import Path

import pytest

from stage import BESIDE_THE_PACKAGE, ROOT, stage


def test_a_staged_copy_holds_the_package_with_metadata_and_resources_inside(tmp_path):
    plugin = stage(tmp_path)
    assert plugin == tmp_path / "rs_textseg_plugin"
    assert (plugin / "contract" / "grid.py").read_bytes() == (
        ROOT / "rs_textseg_plugin" / "contract" / "grid.py"
    ).read_bytes()
    assert all((plugin / name).exists() and not (plugin / name).is_symlink() for name in BESIDE_THE_PACKAGE)


def test_byte_code_and_hidden_files_are_not_staged(tmp_path):
    compiled = py_compile.compile(str(ROOT / "rs_textseg_plugin" / "contract" / "version.py"))
    assert Path(compiled).is_relative_to(ROOT)
    names = {path.name for path in stage(tmp_path).rglob("*")}
    assert "__pycache__" not in names
    assert [name for name in names if name.endswith(".pyc") or name.startswith(".")] == []


def test_a_linked_tree_points_to_the_checkout(tmp_path):
    plugin = stage(tmp_path, link=True)
    assert (plugin / "contract").resolve() == ROOT / "rs_textseg_plugin" / "contract"
    assert (plugin / "metadata.txt").resolve() == ROOT / "metadata.txt"


def test_staging_again_replaces_the_earlier_tree_and_leaves_the_checkout_alone(tmp_path):
    stage(tmp_path, link=True)
    (tmp_path / "rs_textseg_plugin" / "left_over.py").touch()
    plugin = stage(tmp_path)
    assert not (plugin / "left_over.py").exists()
    assert (ROOT / "rs_textseg_plugin" / "contract" / "grid.py").exists()


def test_a_folder_that_is_no_plugin_is_never_replaced(tmp_path):
    (tmp_path / "rs_textseg_plugin").mkdir()
    (tmp_path / "rs_textseg_plugin" / "thesis.doc").touch()
    with pytest.raises(FileExistsError, match="is no staged plugin"):
        stage(tmp_path)
    assert (tmp_path / "rs_textseg_plugin" / "thesis.doc").exists()
