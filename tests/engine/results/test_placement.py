from __future__ import annotations

import pytest

from rs_textseg_plugin.contract.errors import OutputError
from rs_textseg_plugin.engine.results.placement import Placement


@pytest.fixture
def files(tmp_path):
    for name in ("new_a", "new_b"):
        (tmp_path / name).write_text(name)
    (tmp_path / "a").write_text("old a")
    (tmp_path / "stale").write_text("of an earlier result")
    return tmp_path


def place(*pairs) -> None:
    with Placement() as placement:
        for source, target in pairs:
            placement.put(source, target)
        placement.commit()


def test_files_take_their_places_together_and_stale_ones_go(files):
    with Placement() as placement:
        placement.put(files / "new_a", files / "a")
        placement.put(files / "new_b", files / "b")
        placement.drop(files / "stale")
        placement.drop(files / "never there")
        assert (files / "a").read_text() == "old a"
        placement.commit()
    assert ((files / "a").read_text(), (files / "b").read_text()) == ("new_a", "new_b")
    assert sorted(path.name for path in files.iterdir()) == ["a", "b", "new_a", "new_b"]


def test_what_cannot_be_copied_leaves_everything_as_it_was(files):
    with pytest.raises(OutputError, match="missing"):
        place((files / "new_a", files / "a"), (files / "new_b", files / "missing" / "b"))
    assert (files / "a").read_text() == "old a"
    assert not [path for path in files.iterdir() if path.name.endswith(".part")]


def test_a_target_that_cannot_be_replaced_is_named_and_no_part_stays(files):
    (files / "b").mkdir()
    with pytest.raises(OutputError, match="close other programs"):
        place((files / "new_b", files / "b"), (files / "new_a", files / "a"))
    assert (files / "a").read_text() == "old a"
    assert not [path for path in files.iterdir() if path.name.endswith(".part")]
