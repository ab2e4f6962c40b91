from __future__ import annotations

from pathlib import Path

import pytest

from rs_textseg_plugin.contract.errors import OutputError, QueryError
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.contract.text import word_list
from rs_textseg_plugin.contract.text.word_list import (
    find_word_list,
    known_word_lists,
    own_lists_home,
    remove_word_list,
    save_word_list,
)

BENCHMARKS = ("openearthmap", "loveda", "isaid", "potsdam", "vaihingen", "uavid", "udd5", "vdd", "building", "road",
              "water", "deepglobe-land")  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setattr("rs_textseg_plugin.contract.text.word_list.data_home", lambda: tmp_path / "data")
    return tmp_path / "data" / "word_lists"


def names_in(text: str) -> list[str]:
    return [spec.name for spec in parse_class_list(text).positives]


def test_every_benchmark_has_its_published_list_and_one_is_for_false_colour():
    names = [entry.name for entry in known_word_lists()]
    assert set(BENCHMARKS) <= set(names)
    assert "vaihingen-false-colour" in names
    assert names == sorted(names)


PUBLISHED = sorted(path.stem for path in (Path(word_list.__file__).with_name("word_lists")).iterdir())


def test_a_published_list_is_a_class_list_that_says_where_it_comes_from(subtests):
    for name in PUBLISHED:
        with subtests.test(name=name):
            entry = find_word_list(name)
            query = parse_class_list(entry.text)
            assert query.positives
            assert "background" not in [alias for spec in query.positives for alias in spec.aliases]
            assert any(paper in entry.about for paper in ("SegEarth-OV", "ProC-SAM3"))
            assert not entry.is_own


RELEASED = {  # SegEarth-OV's configurations: the threshold, and lambda where it is not 0.3
    "openearthmap": (0.1,), "loveda": (0.3,), "isaid": (0.4,), "potsdam": (0.1,), "vaihingen": (0.1,), "uavid": (0.3,),
    "udd5": (0.4,), "vdd": (0.3,), "building": (0.6,), "building-satellite": (0.7,), "building-xbd": (0.0, 0.0),
    "road": (0.7,), "road-chn6": (0.8,), "water": (0.6,),
}  # fmt: skip


def test_a_list_of_a_data_set_carries_the_values_that_were_released_for_it_and_no_other_list_does(subtests):
    for name in PUBLISHED:
        with subtests.test(name):
            expected = dict(zip(("prob_threshold", "cls_weight"), RELEASED.get(name, ())))
            assert find_word_list(name).parameters("segearth-published") == expected
            assert find_word_list(name).parameters("native") == {}
            assert find_word_list(name).parameters("") == {}


def test_an_own_list_can_carry_values_for_a_preset_and_what_is_wrong_with_them_is_said(home, subtests):
    home.mkdir(parents=True)
    mine = home / "mine.txt"
    mine.write_text("# for the port\n#: native prob_threshold=0.25 templates=7\nship\n", encoding="utf-8")
    entry = find_word_list("mine")
    assert (entry.about, entry.text) == ("for the port", "ship")
    assert entry.parameters("native") == {"prob_threshold": 0.25, "templates": "7"}
    for line, reason in (
        ("#: nativ prob_threshold=0.2", r"mine\.txt has a line .* The preset 'nativ' does not exist"),
        ("#:", "The preset '' does not exist"),
        ("#: native templates=7\n#: native templates=1", "The preset 'native' is named twice"),
        ("#: native prob_treshold=0.2", "no parameter 'prob_treshold': did you mean prob_threshold"),
        ("#: native prob_threshold=7", "prob_threshold='7' is out of its range"),
        ("#: native prob_threshold", "'prob_threshold' is not understood: write key=value"),
        ("#: vlm-published allow_plain_http=true", "allow_plain_http is a permission, which only a user gives"),
    ):
        mine.write_text(f"{line}\nship\n", encoding="utf-8")
        with subtests.test(line), pytest.raises(QueryError, match=reason):
            find_word_list("mine")


def test_the_lists_are_the_published_ones():
    loveda = parse_class_list(find_word_list("loveda").text)
    assert [spec.aliases for spec in loveda.positives] == [
        ("building", "roof", "house"), ("road",), ("water",), ("barren",), ("forest",), ("agricultural",),
    ]  # fmt: skip
    assert [spec.name for spec in loveda.classes if spec.negative] == ["background"]
    assert len(names_in(find_word_list("isaid").text)) == 15
    assert names_in(find_word_list("potsdam").text) == ["road", "building", "low vegetation", "tree", "car"]
    assert names_in(find_word_list("water").text) == ["water"]


def test_a_list_is_saved_found_and_listed_as_ones_own(home):
    path = save_word_list("harbour", "ship|boat, pier, -sea", "for the port\nof Trieste")
    assert path == home / "harbour.txt" == own_lists_home() / "harbour.txt"
    found = find_word_list("harbour")
    assert (found.text, found.about, found.is_own) == ("ship|boat, pier, -sea", "for the port of Trieste", True)
    assert "harbour" in [entry.name for entry in known_word_lists()]


def test_ones_own_list_takes_the_place_of_a_published_one():
    save_word_list("loveda", "barn, meadow")
    assert find_word_list("loveda").text == "barn, meadow"
    assert [entry.name for entry in known_word_lists()].count("loveda") == 1


def test_a_list_is_read_from_any_text_file(tmp_path):
    (tmp_path / "mine.txt").write_text("# about\nship\npier|quay\n", encoding="utf-8")
    assert find_word_list(str(tmp_path / "mine.txt")).text == "ship, pier|quay"


def test_an_unknown_list_is_refused_with_those_that_exist():
    with pytest.raises(QueryError, match=r"no word list 'lovda' .* one of building, .*loveda.*save your own as .*NAME"):
        find_word_list("lovda")


def test_a_file_that_is_no_text_is_named(home):
    home.mkdir(parents=True)
    (home / "broken.txt").write_bytes(b"\xff\xfe\x00road")
    with pytest.raises(QueryError, match=r"broken\.txt cannot be read .* save it as UTF-8"):
        find_word_list("broken")


def test_a_name_that_is_none_is_refused(subtests, home):
    for name in ("", "../up", "a/b", ".hidden", "CON", "what?", "roads.", "my:list"):
        with subtests.test(name=name):
            with pytest.raises(OutputError, match="no plain name"):
                save_word_list(name, "road")
            assert not home.exists()


def test_nothing_is_written_over_and_no_list_without_classes_is_saved(home):
    save_word_list("mine", "road")
    with pytest.raises(OutputError, match="'mine' of yours already"):
        save_word_list("mine", "water")
    assert find_word_list("mine").text == "road"
    with pytest.raises(QueryError, match="names no class"):
        save_word_list("empty", " , ")
    assert not (home / "empty.txt").exists()


def test_a_folder_that_cannot_be_written_is_told_in_words(home):
    home.parent.mkdir(parents=True)
    home.write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="cannot be written"):
        save_word_list("mine", "road")


def test_ones_own_list_is_written_over_only_where_that_is_wanted():
    save_word_list("mine", "road")
    save_word_list("mine", "water", replace=True)
    assert find_word_list("mine").text == "water"


def test_a_removed_list_gives_way_to_the_published_one():
    save_word_list("loveda", "barn, meadow")
    remove_word_list("loveda")
    assert find_word_list("loveda").text.startswith("-background")


def test_what_is_no_list_of_ones_own_cannot_be_removed(subtests):
    for name, words in (("loveda", "only your own lists"), ("../up", "no plain name")):
        with subtests.test(name=name):
            with pytest.raises(OutputError, match=words):
                remove_word_list(name)
            assert find_word_list("loveda")
