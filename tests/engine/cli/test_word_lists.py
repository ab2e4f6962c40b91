from __future__ import annotations

import sys

import pyogrio
from command_line import run


def test_a_word_list_is_asked_for_by_its_name_and_ones_own_are_saved_shown_and_listed(
    scene, tmp_path, tiny_models, monkeypatch, capfd
):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert run("word-lists", "save", "port", "--text", "-sea, ship|boat, pier", "--about", "for the port") == 0
    assert run("word-lists", "list") == 0
    assert run("word-lists", "show", "port") == 0
    printed = capfd.readouterr().out
    assert "port                     yours      for the port" in printed
    assert "vaihingen-false-colour   published" in printed
    assert "with the preset segearth-published: prob_threshold=0.0 cls_weight=0.0" in printed
    assert printed.endswith("-sea, ship|boat, pier\n")
    options = ["--models", tiny_models, "--pipeline", "segearth-ov", "--out", tmp_path / "o.gpkg", "--device", "cpu"]
    assert run("segment", scene, "--word-list", "port", *options, "--param", "templates=1", "prob_threshold=0") == 0
    _, _, _, columns = pyogrio.raw.read(tmp_path / "o.gpkg")
    assert set(columns[0]) <= {"ship", "pier"}
    assert set(columns[6]) == {"segearth-ov"}
    assert set(columns[7]) == {"-sea, ship|boat, pier"}
    assert run("word-lists", "save", "port", "--text", "road") == 2
    assert run("segment", scene, "--word-list", "prt", "--models", tiny_models, "--out", tmp_path / "o.gpkg") == 2
    assert "no word list 'prt'" in capfd.readouterr().err
