"""How the command line is read, and what it finds when it is started."""

from __future__ import annotations

import subprocess
import sys

import pytest
from command_line import run


def test_the_help_lists_presets_with_their_values(capfd):
    with pytest.raises(SystemExit):
        run("segment", "--help")
    printed = capfd.readouterr().out
    assert "paper (sam-clip, as Sosa et al. 2026 describe it):\n      selector=vote points_per_side=29" in printed
    assert "native (segearth-ov, the whole raster at its working resolution):\n      clip_long_side_px=0" in printed
    assert "prob_threshold=auto" in printed
    assert "  sam-clip: points_per_batch, tile_px\n" in printed  # what a model set may say beside a preset
    assert "--preset NAME" in printed


def test_a_value_may_begin_with_a_dash(subtests, scene, tiny_models, tmp_path, capfd):
    for arguments, words in (
        (("--text", "-shadow,-cloud"), "only negative"),
        (("--text", "road", "--extent", "-9,-9,-8,-8"), "outside the raster"),
        (("--text", "-shadow,road", "--extent", "-9,-9,-8,-8"), "outside the raster"),
    ):
        with subtests.test(arguments=arguments):
            assert run("segment", scene, *arguments, "--models", tiny_models, "--out", tmp_path / "o.gpkg") == 2
            assert words in capfd.readouterr().err


def test_a_command_that_is_not_understood_is_told_in_one_sentence(subtests, capfd):
    for arguments in (
        ("--text", "--json"),
        ("--text", "road"),
        ("--text", "road", "--word-list", "loveda"),
        ("--out", "o.gpkg"),
    ):
        with subtests.test(arguments=arguments):
            with pytest.raises(SystemExit) as ended:
                run("segment", "scene.tif", *arguments)
            assert ended.value.code == 2
            (sentence,) = capfd.readouterr().err.splitlines()
            assert sentence.startswith("The command is not understood (")
            assert sentence.endswith("segment --help'.")


def test_another_plugin_beside_ours_cannot_shadow_a_package_of_the_engine(tmp_path):
    from stage import stage

    stage(tmp_path)
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise RuntimeError('the neighbour was imported')")
    command = [sys.executable, "-E", "-s", "-m", "rs_textseg_plugin.engine", "models", "list"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
