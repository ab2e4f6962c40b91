"""A method's table is found because it lies in the folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rs_textseg_plugin
from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.pipelines import PIPELINES, PRESETS, find_pipeline, find_preset, module_name
from rs_textseg_plugin.contract.recipe import Recipe
from stage import stage

TABLES = Path("contract/pipelines")
ANOTHER = """
from rs_textseg_plugin.contract.pipelines.segearth_ov import INFO as ONE
from dataclasses import replace
INFO = replace(ONE, name="{name}", position={position}, presets={{}})
"""


@pytest.fixture
def package(tmp_path) -> Path:
    """A staged package whose contract is a copy that a test may change."""
    package = stage(tmp_path, link=True)
    contract = package / "contract"
    source = contract.resolve()
    contract.unlink()
    shutil.copytree(source, contract)
    return package


def names_in(package: Path) -> subprocess.CompletedProcess[str]:
    """Have a new interpreter print the names of the methods of a copy, one a line."""
    code = "from rs_textseg_plugin.contract.recipe import PIPELINES; print(*PIPELINES, sep='\\n')"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=package.parent, capture_output=True, text=True, timeout=120, check=False)


def test_the_methods_are_those_of_the_tables_in_the_folder_and_each_has_a_module_of_code():
    package = Path(rs_textseg_plugin.__file__).parent
    tables = {path.stem for path in (package / TABLES).glob("*.py")} - {"__init__"}
    assert {module_name(name) for name in PIPELINES} == tables
    assert all((package / "engine" / "pipelines" / f"{table}.py").is_file() for table in tables)


def test_lists_have_the_methods_in_the_order_of_their_positions_and_the_first_is_the_default():
    assert list(PIPELINES) == ["sam-clip", "segearth-ov", "grounding-sam", "surgery-sam", "text2seg", "vlm-sam"]
    assert [info.position for info in PIPELINES.values()] == sorted({info.position for info in PIPELINES.values()})
    assert Recipe().pipeline == "sam-clip"


def test_a_table_that_is_put_into_the_folder_is_a_method_at_its_place_in_the_order(package):
    (package / TABLES / "a_new_one.py").write_text(ANOTHER.format(name="a-new-one", position=15), encoding="utf-8")
    names = names_in(package)
    assert names.stdout.split() == [*list(PIPELINES)[:1], "a-new-one", *list(PIPELINES)[1:]], names.stderr


def test_a_table_that_is_taken_out_is_no_method(package):
    (package / TABLES / "vlm_sam.py").unlink()
    names = names_in(package)
    assert names.stdout.split() == [name for name in PIPELINES if name != "vlm-sam"], names.stderr


def test_a_table_whose_name_does_not_fit_its_file_is_refused_with_the_name_that_would(package):
    (package / TABLES / "a_new_one.py").write_text(ANOTHER.format(name="new-one", position=15), encoding="utf-8")
    names = names_in(package)
    assert names.returncode != 0
    assert "The table a_new_one.py is of the method 'new-one': name it new_one.py." in names.stderr


def test_a_pipeline_is_found_by_its_name():
    assert [find_pipeline(name).name for name in PIPELINES] == list(PIPELINES)


def test_an_unknown_pipeline_is_refused_with_the_ones_that_exist():
    with pytest.raises(RecipeError, match=r"'sam_clip'.*sam-clip"):
        find_pipeline("sam_clip")


def test_presets_are_those_of_all_methods_and_no_two_have_one_name():
    by_method = [name for info in PIPELINES.values() for name in info.presets]
    assert list(PRESETS) == by_method
    assert list(PRESETS) == ["paper", "segearth-published", "native", "grounding-published", "surgery-published",
                             "text2seg-published", "vlm-published"]  # fmt: skip


def test_an_unknown_preset_is_refused_with_the_ones_that_exist_and_no_name_is_no_preset():
    with pytest.raises(RecipeError, match=r"no preset 'papers': choose one of paper, segearth-published, native"):
        find_preset("papers", "sam-clip")
    assert find_preset("", "sam-clip") == {}


def test_a_preset_of_another_pipeline_is_refused_with_those_that_fit():
    with pytest.raises(
        RecipeError, match=r"'paper' is one of the pipeline sam-clip, not of segearth-ov: choose seg.* or nat"
    ):
        find_preset("paper", "segearth-ov")
    with pytest.raises(RecipeError, match=r"'native' is one of the pipeline segearth-ov, not of sam-clip: .* paper"):
        find_preset("native", "sam-clip")
