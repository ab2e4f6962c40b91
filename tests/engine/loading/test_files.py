from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import pytest
import torch
from tiny_upsamplers import published_state

from rs_textseg_plugin.contract.catalog import ModelFile, ModelSet
from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.loading import files as weights
from rs_textseg_plugin.engine.loading.files import resolve_set, verified
from rs_textseg_plugin.engine.models.archives.digest import file_digest

BOTH = ("sam", "clip")


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def folder(tiny_models, tmp_path) -> Path:
    """A copy of the small models that a test may change."""
    return Path(shutil.copytree(tiny_models, tmp_path / "set"))


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("RS_TEXTSEG_MODELS", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def in_catalogue(monkeypatch, folder):
    """Make the catalogue one set, ``listed``, of the small models with their digests."""
    files = (
        ModelFile("sam", "sam_tiny.pth", sha256=digest_of(folder / "sam_tiny.pth"), size_bytes=3_200_000_000),
        ModelFile("clip", "clip_tiny.pt", sha256=digest_of(folder / "clip_tiny.pt"), architecture="ViT-B-16"),
    )
    entry = ModelSet("listed", "Listed", files, ("sam-clip",), parameters={"tile_px": 512}, is_demo=True)
    monkeypatch.setattr(weights, "load_catalog", lambda: (entry,))
    return entry


def write_manifest(folder: Path, **changes: object) -> None:
    """Write a manifest of both small models; `changes` go to the SAM's entry, or to the set where it has the field."""
    sam = {"role": "sam", "name": "sam_tiny.pth"}
    manifest = {
        "id": "mine",
        "title": "Mine",
        "pipelines": ["sam-clip"],
        "files": [sam, {"role": "clip", "name": "clip_tiny.pt", "architecture": "ViT-B-32"}],
    }
    for name, value in changes.items():
        (manifest if name in ("parameters", "is_demo", "files") else sam)[name] = value
    (folder / "models.json").write_text(json.dumps(manifest))


def test_the_roles_of_files_in_a_folder_are_told_from_their_weights(folder):
    (folder / "sam_tiny.pth").rename(folder / "one.bin")
    (folder / "clip_tiny.pt").rename(folder / "two.PTH")
    (folder / "readme.txt").write_text("no weights")
    (folder / "old.pth").mkdir()
    found = resolve_set(str(folder), BOTH)
    assert list(found.checkpoints) == ["sam", "clip"]
    assert found.checkpoints["sam"].path == folder / "one.bin"
    assert found.checkpoints["clip"].path == folder / "two.PTH"
    assert found.checkpoints["sam"].sha256 == digest_of(folder / "one.bin")
    assert found.checkpoints["clip"].architecture == ""
    assert (found.name, found.is_demo, dict(found.parameters)) == (str(folder), False, {})


def test_only_the_roles_that_are_asked_for_are_resolved(folder):
    (folder / "clip_tiny.pt").unlink()
    assert list(resolve_set(str(folder), ("sam",)).checkpoints) == ["sam"]
    with pytest.raises(ModelError, match=r"holds no CLIP checkpoint: put one there \(\.pth, \.pt"):
        resolve_set(str(folder), BOTH)


def test_several_checkpoints_of_a_role_are_named_and_refused(folder):
    shutil.copy(folder / "sam_tiny.pth", folder / "another.pth")
    with pytest.raises(ModelError, match=r"several SAM checkpoints \(another\.pth, sam_tiny\.pth\): keep one"):
        resolve_set(str(folder), BOTH)


def test_a_foreign_checkpoint_in_a_folder_is_refused_by_name(folder):
    torch.save({"fc.weight": torch.zeros(2, 2)}, folder / "resnet.pth")
    with pytest.raises(ModelError, match=r"resnet\.pth is no checkpoint of a kind that is known \(SAM, .*CLIP\)"):
        resolve_set(str(folder), BOTH)


def test_an_optional_role_is_taken_where_the_set_has_it_and_missing_where_it_does_not(folder):
    assert set(resolve_set(str(folder), ("clip",), ("upsampler", "sam")).checkpoints) == {"clip", "sam"}
    torch.save(published_state(32), folder / "simfeatup.ckpt")
    found = resolve_set(str(folder), ("clip",), ("upsampler",))
    assert set(found.checkpoints) == {"clip", "upsampler"}
    assert found.checkpoints["upsampler"].path == folder / "simfeatup.ckpt"
    assert resolve_set(str(folder), ("clip",)).identity != found.identity
    shutil.copy(folder / "simfeatup.ckpt", folder / "another.ckpt")
    with pytest.raises(ModelError, match=r"several UPSAMPLER checkpoints"):
        resolve_set(str(folder), ("clip",), ("upsampler",))
    assert set(resolve_set(str(folder), BOTH).checkpoints) == {"sam", "clip"}


def test_an_upsampler_may_be_put_into_the_folder_of_a_set_of_the_catalogue(folder, home, in_catalogue):
    shutil.move(folder, home / "listed")
    torch.save(published_state(32), home / "listed" / "simfeatup.ckpt")
    found = resolve_set("listed", ("clip",), ("upsampler",))
    assert found.checkpoints["upsampler"].path == home / "listed" / "simfeatup.ckpt"
    assert found.checkpoints["clip"].architecture == "ViT-B-16"
    shutil.copy(home / "listed" / "sam_tiny.pth", home / "listed" / "second.pth")
    assert set(resolve_set("listed", BOTH, ("upsampler",)).checkpoints) == {"sam", "clip", "upsampler"}


def test_a_manifest_is_the_last_word_on_optional_models_too(folder):
    write_manifest(folder)
    torch.save(published_state(32), folder / "simfeatup.ckpt")
    assert set(resolve_set(str(folder), ("clip",), ("upsampler",)).checkpoints) == {"clip"}


def test_a_manifest_chooses_among_the_files_of_a_folder(folder):
    shutil.copy(folder / "sam_tiny.pth", folder / "another.pth")
    torch.save({"fc.weight": torch.zeros(2, 2)}, folder / "resnet.pth")
    write_manifest(folder, name="another.pth")
    found = resolve_set(str(folder), BOTH)
    assert found.checkpoints["sam"].path == folder / "another.pth"
    assert found.checkpoints["clip"].architecture == "ViT-B-32"


def test_parameters_and_the_word_demo_are_carried_from_the_manifest(folder):
    write_manifest(folder, parameters={"points_per_side": 8}, is_demo=True)
    found = resolve_set(str(folder), BOTH)
    assert dict(found.parameters) == {"points_per_side": 8}
    assert found.is_demo is True


def test_a_right_digest_is_accepted_in_any_case(folder):
    digest = digest_of(folder / "sam_tiny.pth")
    write_manifest(folder, sha256=digest.upper())
    assert resolve_set(str(folder), BOTH).checkpoints["sam"].sha256 == digest


def test_a_wrong_digest_is_refused_with_both_digests(folder):
    digest = digest_of(folder / "sam_tiny.pth")
    wrong = digest[:63] + ("0" if digest[63] != "0" else "1")
    write_manifest(folder, sha256=wrong)
    with pytest.raises(ModelError, match=f"{digest[:12]}.*listed {wrong[:12]}.*remove it and fetch it again"):
        resolve_set(str(folder), BOTH)


def test_the_beginning_of_a_digest_is_no_digest(folder):
    write_manifest(folder, sha256=digest_of(folder / "sam_tiny.pth")[:12])
    with pytest.raises(ModelError, match=r"no model manifest: .* is no SHA-256 of 64 hexadecimal digits"):
        resolve_set(str(folder), BOTH)


def test_a_listed_file_that_is_missing_is_named(folder):
    write_manifest(folder, name="lost.pth")
    with pytest.raises(ModelError, match=r"lost\.pth is missing: fetch or copy it, or correct models\.json"):
        resolve_set(str(folder), BOTH)


@pytest.mark.parametrize(
    "text",
    ["{no json", "[]", '{"id": "a", "title": "b", "pipelines": []}', '{"files": [{"role": "sam", "nmae": "x"}]}'],
)
def test_a_manifest_that_cannot_be_read_is_named(folder, text):
    (folder / "models.json").write_text(text)
    with pytest.raises(ModelError, match=r"manifest cannot be read: .*models\.json.* Correct or remove it\."):
        resolve_set(str(folder), BOTH)


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, '{"id": ' * 200_000, '{"parameters": ' + "[" * 200_000 + "]" * 200_000 + "}", " " * 2_000_000],
)
def test_a_manifest_without_end_is_refused_at_once(folder, text):
    (folder / "models.json").write_text(text)
    start_s = time.process_time()
    with pytest.raises(ModelError, match=r"manifest cannot be read: .*models\.json is no model manifest") as failure:
        resolve_set(str(folder), BOTH)
    assert time.process_time() - start_s < 1.0
    assert len(str(failure.value)) < 500


@pytest.mark.parametrize(
    "name", ["../sam_tiny.pth", "a/../../sam_tiny.pth", "..", "C:\\x.pth", "..\\x.pth", "/", "", 7]
)
def test_a_manifest_that_points_outside_its_folder_is_refused(folder, name):
    shutil.copy(folder / "sam_tiny.pth", folder.parent / "sam_tiny.pth")  # it is there, and is a whole SAM
    write_manifest(folder, name=name)
    with pytest.raises(ModelError, match=r"does not lie inside the set's folder. Correct or remove it"):
        resolve_set(str(folder), BOTH)


def test_a_manifest_with_an_absolute_path_is_refused(folder):
    write_manifest(folder, name=str(folder / "sam_tiny.pth"))
    with pytest.raises(ModelError, match=r"does not lie inside the set's folder"):
        resolve_set(str(folder), BOTH)


def test_a_manifest_whose_neighbour_lies_outside_its_folder_is_refused(folder):
    write_manifest(folder, beside=[{"name": "../config.json"}])
    with pytest.raises(ModelError, match=r"'../config\.json' does not lie inside the set's folder"):
        resolve_set(str(folder), BOTH)


def test_an_installed_set_of_the_catalogue_has_what_the_catalogue_says(folder, home, in_catalogue):
    shutil.move(folder, home / "listed")
    found = resolve_set("listed", BOTH)
    assert found.checkpoints["sam"].path == home / "listed" / "sam_tiny.pth"
    assert found.checkpoints["clip"].architecture == "ViT-B-16"
    assert (dict(found.parameters), found.is_demo) == ({"tile_px": 512}, True)


def test_an_installed_set_with_a_file_that_is_not_the_listed_one_is_refused(folder, home, in_catalogue):
    shutil.move(folder, home / "listed")
    shutil.copy(home / "listed" / "clip_tiny.pt", home / "listed" / "sam_tiny.pth")
    with pytest.raises(ModelError, match=r"sam_tiny\.pth is not the file that is listed"):
        resolve_set("listed", BOTH)


def test_a_folder_elsewhere_of_the_same_name_is_not_the_catalogues_set(folder, home, in_catalogue, monkeypatch):
    folder.rename(folder.with_name("listed"))
    monkeypatch.chdir(folder.parent)
    found = resolve_set("listed", BOTH)
    assert (found.is_demo, found.checkpoints["clip"].architecture) == (False, "")


def test_an_imported_set_is_found_by_its_name(folder, home, in_catalogue):
    shutil.move(folder, home / "mine")
    assert resolve_set("mine", BOTH).checkpoints["sam"].path == home / "mine" / "sam_tiny.pth"


def test_a_listed_set_that_is_not_here_says_how_to_fetch_it(home, in_catalogue):
    with pytest.raises(ModelError, match=r"'listed' \(3\.2 GB\) is not on this machine: .* models fetch listed"):
        resolve_set("listed", BOTH)


def test_a_set_that_nobody_knows_says_which_there_are(home, in_catalogue):
    with pytest.raises(
        ModelError, match=r"no model set and no folder 'unknown': .* or a set such as listed; 'models list' shows all\."
    ):
        resolve_set("unknown", BOTH)


def test_the_digest_follows_a_file_that_changes(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"first")
    before = file_digest(path)
    path.write_bytes(b"other")
    os.utime(path, ns=(0, 12345))
    assert file_digest(path) == digest_of(path) != before
    assert verified(ModelFile("sam", path.name), tmp_path).sha256 == digest_of(path)


def test_the_identity_tells_other_weights_and_another_architecture_apart(folder):
    first = resolve_set(str(folder), BOTH).identity
    assert resolve_set(str(folder), ("clip", "sam")).identity == first
    write_manifest(folder)
    named = resolve_set(str(folder), BOTH).identity
    state = torch.load(folder / "sam_tiny.pth", weights_only=True)
    torch.save({key: value + 1 for key, value in state.items()}, folder / "sam_tiny.pth")
    assert len({first, named, resolve_set(str(folder), BOTH).identity}) == 3
