"""The command that draws scenes."""

from __future__ import annotations

import argparse

import pytest
import rasterio

from make_scenes import main, parse_seeds


def test_seeds_are_numbers_and_ranges():
    assert parse_seeds("0-3,7, 9") == [0, 1, 2, 3, 7, 9]


@pytest.mark.parametrize("text", ["", "a", "3-", "-3", "1-2-3", "4-2"])
def test_what_is_no_seed_is_refused_in_words(text):
    with pytest.raises(argparse.ArgumentTypeError, match="write"):
        parse_seeds(text)


def test_the_command_makes_a_folder_for_each_seed(tmp_path, capsys):
    words = [str(tmp_path), "--seeds", "1-2", "--size", "64", "--kind", "harbour", "--resolution", "0.5"]
    assert main([*words, "--collar", "--sixteen-bit"]) == 0
    names = ["0001_harbour", "0002_harbour"]
    assert sorted(folder.name for folder in tmp_path.iterdir()) == names
    assert all(name in line for name, line in zip(names, capsys.readouterr().out.splitlines(), strict=True))
    for name in names:
        assert sorted(file.name for file in (tmp_path / name).iterdir()) == ["labels.tif", "scene.tif", "truth.gpkg"]
    with rasterio.open(tmp_path / names[0] / "scene.tif") as picture:
        assert (picture.width, picture.dtypes[0], picture.transform.a) == (64, "uint16", 0.5)
        assert not picture.read()[:, 0, 0].any()


def test_a_size_that_is_too_small_ends_with_a_sentence(tmp_path, capsys):
    assert main([str(tmp_path), "--size", "10"]) == 2
    assert "10 pixels is too small" in capsys.readouterr().err
