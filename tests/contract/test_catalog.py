"""The catalogue of model sets, manifests, and the folder of models."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from rs_textseg_plugin.contract.catalog import (
    MANIFEST,
    ModelFile,
    ModelSet,
    is_installed,
    known_sets,
    load_catalog,
    models_home,
    read_manifest,
    set_folder,
    shipped_home,
)
from rs_textseg_plugin.contract.recipe import PIPELINES, Recipe, find_pipeline

SETS = load_catalog()
FETCHED = [entry for entry in SETS if not entry.is_demo]
FILES = [(entry, file) for entry in SETS for one in entry.files for file in one.with_beside]
ROLES = {role for info in PIPELINES.values() for role in (*info.roles, *info.optional_roles)}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RS_TEXTSEG_MODELS", str(tmp_path))
    return tmp_path


def test_the_names_of_sets_are_unique():
    assert len({entry.id for entry in SETS}) == len(SETS) > 0
    assert len({entry.title for entry in SETS}) == len(SETS)


def test_a_set_serves_known_pipelines_with_every_model_they_need_and_parameters_that_fit(subtests):
    for entry in SETS:
        with subtests.test(entry.id):
            roles = {file.role for file in entry.files}
            served = [find_pipeline(name) for name in entry.pipelines]
            for info in served:
                assert set(info.roles) <= roles
                Recipe(info.name).checked_parameters(entry.parameters)
            assert set(entry.parameters) <= {name for info in served for name in info.own(entry.parameters)}
            assert entry.pipelines
            assert re.fullmatch("[a-z0-9-]+", entry.id)
            assert entry.paper


def test_a_file_has_a_known_role_a_digest_a_size_and_a_licence(subtests):
    for entry, file in FILES:
        with subtests.test(entry.id, file=file.name):
            assert file.role in ROLES
            assert re.fullmatch("[0-9a-f]{6,64}", file.sha256)
            assert file.size_bytes > 0
            assert file.licence
            assert [other.name for _, other in FILES if _ is entry].count(file.name) == 1


def test_a_file_is_fetched_over_https_keeps_its_name_and_has_a_page(subtests):
    for entry, file in FILES:
        if not entry.is_demo:
            with subtests.test(entry.id, file=file.name):
                assert file.url.startswith("https://")
                assert file.url.endswith("/" + file.name.rpartition("/")[2])
                assert file.source.startswith("https://")


def test_a_digest_in_groups_is_joined():
    assert ModelFile.from_json({"role": "sam", "name": "a", "sha256": "5806E77C d80f8b59"}).sha256 == "5806e77cd80f8b59"


def test_the_size_of_a_set_is_that_of_its_files():
    beside = (ModelFile("detector", "config.json", size_bytes=7), ModelFile("detector", "vocab.txt", size_bytes=30))
    files = (ModelFile("detector", "model.safetensors", size_bytes=400, beside=beside), ModelFile("clip", "c.pt"))
    assert ModelSet("mine", "Mine", files, ("text2seg",)).size_bytes == 437


def test_files_beside_a_checkpoint_have_its_folder_address_and_licence():
    beside = [{"name": "config.json", "size_bytes": 7, "sha256": "0A 0b"}]
    data = {"role": "detector", "name": "dino/model.safetensors", "url": "https://a.org/x/model.safetensors",
            "licence": "MIT", "source": "https://a.org", "beside": beside}  # fmt: skip
    config, model = ModelFile.from_json(data).with_beside
    assert config == ModelFile(
        "detector", "dino/config.json", "https://a.org/x/config.json", "0a0b", 7, "MIT", "https://a.org"
    )
    assert (model.name, model.beside) == ("dino/model.safetensors", (config,))
    (local,) = ModelFile.from_json({"role": "detector", "name": "model.safetensors", "beside": beside}).beside
    assert (local.name, local.url) == ("config.json", "")


def test_a_manifest_is_read(tmp_path):
    path = tmp_path / MANIFEST
    files = [{"role": "sam", "name": "sam.pth", "sha256": "01ec64 ff"}, {"role": "clip", "name": "clip.pt"}]
    path.write_text(
        json.dumps({"id": "mine", "title": "Mine", "files": files, "pipelines": ["sam-clip"], "is_demo": True}),
        encoding="utf-8",
    )
    entry = read_manifest(path)
    assert (entry.id, entry.title, entry.pipelines, entry.is_demo) == ("mine", "Mine", ("sam-clip",), True)
    assert [file.name for file in entry.files] == ["sam.pth", "clip.pt"]
    assert entry.files[0].sha256 == "01ec64ff"


def test_a_file_that_is_no_manifest_is_refused_with_its_path(subtests, tmp_path):
    for content in (
        b"no json",
        b"[]",
        b"{}",
        b'{"id": "a", "title": "A", "files": [], "pipelines": [], "newer": 1}',
        b'{"id": "a", "title": "A", "files": ["sam.pth"], "pipelines": []}',
        b'{"id": "a", "title": "A", "files": [{"role": "sam"}], "pipelines": []}',
        b'{"id": "a", "title": "A", "files": []}',
        '{"id": "ä"}'.encode("latin-1"),
    ):
        with subtests.test(content=content):
            path = tmp_path / MANIFEST
            path.write_bytes(content)
            with pytest.raises(ValueError, match="is no model manifest") as caught:
                read_manifest(path)
            assert str(path) in str(caught.value)


def test_a_set_is_installed_once_all_its_files_are_in_its_folder(subtests, home):
    for entry in FETCHED:
        with subtests.test(entry.id):
            (home / entry.id).mkdir()
            for file in (file for one in entry.files for file in one.with_beside):
                assert not is_installed(entry)
                (home / entry.id / file.name).parent.mkdir(exist_ok=True)
                (home / entry.id / file.name).touch()
            assert is_installed(entry)


def test_known_sets_are_those_of_the_catalogue_and_the_imported_folders(home):
    (home / "mine").mkdir()
    (home / "note.txt").touch()
    assert known_sets() == {"demo": True, **{entry.id: False for entry in FETCHED}, "mine": True}


def test_the_set_that_ships_needs_no_fetching_and_nothing_of_the_same_name_hides_it(home):
    (home / "demo").mkdir()
    folder = set_folder("demo")
    assert folder == shipped_home() / "demo"
    (entry,) = (entry for entry in SETS if entry.is_demo)
    assert entry.id == "demo"
    assert all((folder / file.name).stat().st_size == file.size_bytes for other, file in FILES if other is entry)
    assert entry.size_bytes < 21e6


def test_pixels_of_another_size_than_the_models_know_are_told(home):
    entry = replace(FETCHED[0], id="small", ground_resolution_m=(0.2, 0.3))
    assert entry.note_on_resolution(0.25) == entry.note_on_resolution(0.2) == entry.note_on_resolution(0.3) == ""
    note = entry.note_on_resolution(10)
    assert all(words in note for words in ("'small'", "0.2 to 0.3 m", "10 m", "resolution"))
    assert FETCHED[0].note_on_resolution(10) == ""


def test_folders_of_the_plugin_that_are_no_sets_are_none(home):
    assert (shipped_home() / "icons").is_dir()
    assert set_folder("icons") is None


def test_without_a_models_folder_only_the_catalogue_is_known(home, monkeypatch):
    monkeypatch.setenv("RS_TEXTSEG_MODELS", str(home / "missing"))
    assert models_home() == home / "missing"
    assert [name for name, is_here in known_sets().items() if is_here] == ["demo"]
