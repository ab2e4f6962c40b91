from __future__ import annotations

import threading

import pytest

from rs_textseg_plugin.contract.errors import OutputError
from rs_textseg_plugin.engine.results.placement import Placement


@pytest.fixture
def files(tmp_path):
    for name in ("new_a", "new_b"):
        (tmp_path / name).write_text(name)
    (tmp_path / "a").write_text("old a")
    (tmp_path / "a.stale").write_text("of an earlier result")
    return tmp_path


def hidden(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def place(*pairs) -> None:
    with Placement() as placement:
        for source, target in pairs:
            placement.put(source, target)
        placement.commit()


def test_files_take_their_places_together_and_stale_ones_go(files):
    with Placement() as placement:
        placement.put(files / "new_a", files / "a", stale=[".stale", ".never_there"])
        placement.put(files / "new_b", files / "b")
        assert (files / "a").read_text() == "old a"
        placement.commit()
    assert ((files / "a").read_text(), (files / "b").read_text()) == ("new_a", "new_b")
    assert sorted(path.name for path in files.iterdir()) == ["a", "b", "new_a", "new_b"]


def test_what_cannot_be_copied_leaves_everything_as_it_was(files):
    with pytest.raises(OutputError, match="missing"):
        place((files / "new_a", files / "a"), (files / "new_b", files / "missing" / "b"))
    assert (files / "a").read_text() == "old a"
    assert hidden(files) == []


def test_what_cannot_take_its_place_is_kept_under_a_free_name_and_that_is_said(files):
    (files / "b.tif").mkdir()
    (files / "b-2.tif").write_text("of somebody else")
    with Placement(patience_s=0.3) as placement:
        placement.put(files / "new_b", files / "b.tif")
        placement.put(files / "new_a", files / "a")
        placement.commit()
    assert (files / "b-3.tif").read_text() == "new_b"
    assert (files / "a").read_text() == "new_a"
    assert placement.place_of(str(files / "b.tif")) == str(files / "b-3.tif")
    assert placement.place_of(str(files / "a")) == str(files / "a")
    assert placement.place_of("") == ""
    assert len(placement.notes) == 1
    assert "b-3.tif" in placement.notes[0]
    assert hidden(files) == []


@pytest.fixture
def shapefile(files):
    """An earlier result of four parts."""
    for suffix in (".shp", ".shx", ".dbf", ".prj"):
        (files / f"s{suffix}").write_text(f"old {suffix}")
        (files / f"new{suffix}").write_text(f"new {suffix}")
    return files


def put_shapefile(placement, folder) -> None:
    parts = {suffix: folder / f"new{suffix}" for suffix in (".shx", ".dbf")}
    placement.put(folder / "new.shp", folder / "s.shp", parts, stale=[".prj"])


@pytest.mark.parametrize("blocked", [".shp", ".dbf"])
def test_parts_take_their_places_all_or_none(shapefile, blocked):
    (shapefile / f"s{blocked}").unlink()
    (shapefile / f"s{blocked}").mkdir()
    with Placement(patience_s=0.3) as placement:
        put_shapefile(placement, shapefile)
        placement.commit()
    for suffix in {".shp", ".shx", ".dbf", ".prj"} - {blocked}:
        assert (shapefile / f"s{suffix}").read_text() == f"old {suffix}"
    for suffix in (".shp", ".shx", ".dbf"):
        assert (shapefile / f"s-2{suffix}").read_text() == f"new {suffix}"
    assert placement.place_of(str(shapefile / "s.shp")) == str(shapefile / "s-2.shp")
    assert hidden(shapefile) == []


def test_parts_that_can_take_their_places_do(shapefile):
    with Placement() as placement:
        put_shapefile(placement, shapefile)
        placement.commit()
    for suffix in (".shp", ".shx", ".dbf"):
        assert (shapefile / f"s{suffix}").read_text() == f"new {suffix}"
    assert not (shapefile / "s.prj").exists()
    assert placement.notes == []


def test_who_lets_go_within_the_patience_is_waited_for(files):
    """A folder is what the system refuses to replace on every platform; it goes while the placement waits."""
    (files / "b").mkdir()
    held = threading.Timer(0.3, (files / "b").rmdir)
    with Placement(patience_s=20) as placement:
        placement.put(files / "new_b", files / "b")
        held.start()
        placement.commit()
    assert (files / "b").read_text() == "new_b"
    assert placement.notes == []


def test_a_link_stays_a_link_and_its_target_is_replaced(files):
    (files / "elsewhere").mkdir()
    (files / "elsewhere" / "real").write_text("old")
    (files / "link").symlink_to(files / "elsewhere" / "real")
    place((files / "new_a", files / "link"))
    assert (files / "link").is_symlink()
    assert (files / "elsewhere" / "real").read_text() == "new_a"


def test_two_placements_of_one_target_do_not_mix_and_a_foreign_part_is_not_touched(files):
    (files / ".a.part").write_text("of somebody else")
    with Placement() as first, Placement() as second:
        first.put(files / "new_a", files / "a")
        second.put(files / "new_b", files / "a")
        first.commit()
        assert (files / "a").read_text() == "new_a"
        second.commit()
    assert (files / "a").read_text() == "new_b"
    assert (files / ".a.part").read_text() == "of somebody else"
    assert hidden(files) == [".a.part"]
