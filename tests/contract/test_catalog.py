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
from rs_textseg_plugin.contract.folders import PACKAGE_FOLDER
from rs_textseg_plugin.contract.recipe import PIPELINES, Recipe, find_pipeline

SETS = load_catalog()
FETCHED = [entry for entry in SETS if not entry.is_demo]
FILES = [(entry, file) for entry in SETS for file in entry.all_files]
ROLES = {role for info in PIPELINES.values() for role in (*info.roles, *info.optional_roles)} | {"vlm"}
WRITTEN = [shipped_home() / "demo" / MANIFEST, PACKAGE_FOLDER / "contract" / "catalog.json"]


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


def test_a_digest_is_whole_or_absent_and_a_size_exact_or_absent(subtests):
    def check(entry):
        if "sha256" in entry:
            assert re.fullmatch("[0-9a-f]{8}( [0-9a-f]{8}){7}", entry["sha256"])
        if "size_bytes" in entry:
            assert entry["size_bytes"] > 0
            # A size of so many zeros was rounded, and the right file would be refused.
            assert entry["size_bytes"] < 1000 or entry["size_bytes"] % 1000

    for path in WRITTEN:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        for file in files.values() if isinstance(files, dict) else files:
            for entry in (file, *file.get("beside", ())):
                with subtests.test(path.name, file=entry["name"]):
                    check(entry)


def test_a_file_has_a_known_role_a_licence_and_a_name_of_its_own(subtests):
    for entry, file in FILES:
        with subtests.test(entry.id, file=file.name):
            assert file.role in ROLES
            assert file.licence
            assert not file.needs_acceptance or file.licence_url.startswith("https://")
            assert [other.name for _, other in FILES if _ is entry].count(file.name) == 1


def test_a_file_is_fetched_over_https_keeps_its_name_has_a_page_and_two_sources(subtests):
    for entry, file in FILES:
        if not entry.is_demo:
            with subtests.test(entry.id, file=file.name):
                assert file.url.startswith("https://")
                name = file.url.rpartition("/")[2]
                packed = name.endswith(".zip")
                assert file.name.rpartition("/")[2] == (f"{name[:-4]}.pt" if packed else name)
                assert file.source.startswith("https://")
                owners = {re.sub("(https://[^/]+/[^/]+)/.*", r"\1", stated) for stated in file.stated_by}
                assert len(owners) >= 2


def test_the_published_sams_and_clips_are_listed_with_the_digests_of_their_publishers(subtests):
    by_name = {file.name: file for _, file in FILES}
    for name, begins, size_bytes in (
        ("sam_vit_b_01ec64.pth", "ec2df627", 375_042_383),
        ("sam_vit_l_0b3195.pth", "3adcc431", 1_249_524_607),
        ("sam_vit_h_4b8939.pth", "a7bf3b02", 2_564_550_879),
        ("ViT-B-16.pt", "5806e77c", 350_837_078),
        ("ViT-L-14.pt", "b8cca3fd", 932_768_134),
    ):
        with subtests.test(name):
            assert by_name[name].sha256.startswith(begins)
            assert by_name[name].size_bytes == size_bytes


def test_text2seg_has_the_detector_of_its_released_code():
    (entry,) = [entry for entry in SETS if entry.id == "text2seg-h"]
    assert [file.name for file in entry.files if file.role == "detector"] == ["grounding-dino-tiny/model.safetensors"]


def test_a_digest_in_groups_is_joined_and_the_beginning_of_one_is_refused(subtests):
    digest = "5806E77C" + " d80f8b59" * 7
    file = ModelFile.from_json({"role": "sam", "name": "a", "sha256": digest})
    assert file.sha256 == "5806e77c" + "d80f8b59" * 7
    for wrong in ("01ec64", digest[:-1], digest.replace("E", "g")):
        with subtests.test(wrong), pytest.raises(ValueError, match="is no SHA-256 of 64 hexadecimal digits"):
            ModelFile.from_json({"role": "sam", "name": "a", "sha256": wrong})


def test_the_size_of_a_set_is_that_of_its_files():
    beside = (ModelFile("detector", "config.json", size_bytes=7), ModelFile("detector", "vocab.txt", size_bytes=30))
    files = (ModelFile("detector", "model.safetensors", size_bytes=400, beside=beside), ModelFile("clip", "c.pt"))
    assert ModelSet("mine", "Mine", files, ("text2seg",)).size_bytes == 437


def test_files_beside_a_checkpoint_have_its_folder_address_and_licence():
    beside = [{"name": "config.json", "size_bytes": 7, "sha256": "0A" * 32}]
    licence = {"licence": "Own", "licence_url": "https://a.org/own", "needs_acceptance": True}
    pages = {"source": "https://a.org", "stated_by": ["https://b.org", "https://c.org"]}
    data = {"role": "detector", "name": "dino/model.safetensors", "url": "https://a.org/x/model.safetensors",
            **licence, **pages, "beside": beside}  # fmt: skip
    config, model = ModelFile.from_json(data).with_beside
    assert config == ModelFile(
        "detector", "dino/config.json", "https://a.org/x/config.json", "0a" * 32, 7, **licence,
        source="https://a.org", stated_by=("https://b.org", "https://c.org"),
    )  # fmt: skip
    assert (model.name, model.beside) == ("dino/model.safetensors", (config,))
    (local,) = ModelFile.from_json({"role": "detector", "name": "model.safetensors", "beside": beside}).beside
    assert (local.name, local.url) == ("config.json", "")


def test_a_manifest_is_read(tmp_path):
    path = tmp_path / MANIFEST
    files = [{"role": "sam", "name": "sam.pth", "sha256": "01ec64ff " * 8}, {"role": "clip", "name": "clip.pt"}]
    path.write_text(
        json.dumps({"id": "mine", "title": "Mine", "files": files, "pipelines": ["sam-clip"], "is_demo": True}),
        encoding="utf-8",
    )
    entry = read_manifest(path)
    assert (entry.id, entry.title, entry.pipelines, entry.is_demo) == ("mine", "Mine", ("sam-clip",), True)
    assert [file.name for file in entry.files] == ["sam.pth", "clip.pt"]
    assert entry.files[0].sha256 == "01ec64ff" * 8


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
            for file in entry.all_files:
                assert not is_installed(entry)
                (home / entry.id / file.name).parent.mkdir(exist_ok=True)
                (home / entry.id / file.name).touch()
            assert is_installed(entry)


def test_known_sets_are_those_of_the_catalogue_and_the_imported_folders(home):
    (home / "mine").mkdir()
    (home / ".importing-abc").mkdir()  # of an import that was killed
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
