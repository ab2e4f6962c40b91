"""What is imported is whole, with all that belongs to it; what is not imported leaves nothing."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from published_layouts import write_hf_sam, write_open_clip, write_original_dino, write_training_zip
from small_disk import files_end_at
from tiny_detector import write_tiny_detector
from tiny_owl import write_tiny_owl
from tiny_qwen import save_tiny_qwen

from rs_textseg_plugin.contract.errors import EngineError, ModelError
from rs_textseg_plugin.engine.loading.files import resolve_set
from rs_textseg_plugin.engine.loading.importing import import_set
from rs_textseg_plugin.engine.loading.packed import require_room
from rs_textseg_plugin.engine.loading.sets import verify_set


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("RS_TEXTSEG_MODELS", str(tmp_path / "home"))
    return tmp_path / "home"


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def roles_of(said: str) -> list[str]:
    return [line.split(":")[0] for line in said.splitlines() if not line.startswith("  ")]


def nothing_in(home: Path) -> bool:
    return not home.exists() or not list(home.iterdir())


def test_a_vision_language_model_is_imported_with_the_sam_that_draws_for_it(home, tiny_models, tmp_path):
    vlm = save_tiny_qwen(tmp_path / "Qwen3-VL", "qwen3_vl")
    (vlm / "notes").mkdir()
    import_set("asking", [tiny_models / "sam_tiny.pth", vlm])
    assert (home / "asking" / "vlm" / "model.safetensors").is_file()
    assert verify_set("asking").splitlines()[-2:] == [f"vlm: {home / 'asking' / 'vlm'} is whole", "It serves vlm-sam."]
    with pytest.raises(ModelError, match="two vision-language models"):
        import_set("both", [vlm, save_tiny_qwen(tmp_path / "other", "qwen3_vl")])
    with pytest.raises(ModelError, match=r"holds no model that is known .* model\.safetensors"):
        import_set("none", [tmp_path / "Qwen3-VL" / "notes"])
    assert [path.name for path in home.iterdir()] == ["asking"]


def test_a_vision_language_model_is_found_where_its_sam_lies_in_a_folder_of_its_own(home, tmp_path):
    import_set("asking", [write_hf_sam(tmp_path / "sam-vit-tiny"), save_tiny_qwen(tmp_path / "Qwen3-VL", "qwen3_vl")])
    assert roles_of(verify_set("asking")) == ["sam", "vlm", "It serves vlm-sam."]


def test_what_is_no_model_is_not_imported(home, tmp_path):
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "resnet.pth")
    with pytest.raises(ModelError, match=r"resnet\.pth is no checkpoint of a kind .* nothing was imported"):
        import_set("mine", [tmp_path / "resnet.pth"])
    assert nothing_in(home)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_detector_is_imported_with_what_lies_beside_its_weights(home, tiny_models, tmp_path, kind):
    weights = write_tiny_detector(tmp_path / "dino")
    folder = import_set("boxes", [tiny_models / "sam_tiny.pth", weights if kind == "file" else weights.parent])
    assert set(files_in(folder / "dino")) == {path.name for path in weights.parent.iterdir()}
    assert roles_of(verify_set("boxes")) == ["sam", "detector", "It serves grounding-sam, vlm-sam."]
    (checkpoint,) = resolve_set("boxes", ("detector",)).checkpoints.values()
    assert checkpoint.title == "dino/model.safetensors"


def test_an_owl_is_imported_as_a_folder(home, tiny_models, tmp_path):
    import_set("owls", [tiny_models / "sam_tiny.pth", write_tiny_owl(tmp_path / "owlvit-tiny", "owlvit").parent])
    assert roles_of(verify_set("owls"))[:2] == ["sam", "detector"]


def test_the_configuration_beside_a_checkpoint_comes_along(home, tmp_path):
    source = write_open_clip(tmp_path / "mine", "tuned.pt", quick_gelu=True)
    folder = import_set("tuned", [source / "tuned.pt"])
    assert files_in(folder) == ["open_clip_config.json", "tuned.pt"]
    assert "quick_gelu" in (folder / "open_clip_config.json").read_text()


def test_the_architecture_in_a_manifest_beside_a_checkpoint_is_kept(home, tiny_models, tmp_path):
    source = Path(shutil.copytree(tiny_models, tmp_path / "source"))
    entry = {"role": "clip", "name": "clip_tiny.pt", "architecture": "ViT-B-16-quickgelu", "licence": "MIT"}
    manifest = {"id": "a", "title": "A", "pipelines": ["sam-clip"], "files": [entry]}
    (source / "models.json").write_text(json.dumps(manifest))
    import_set("mine", [source / "clip_tiny.pt", tiny_models / "sam_tiny.pth"])
    found = resolve_set("mine", ("sam", "clip"))
    assert found.checkpoints["clip"].architecture == "ViT-B-16-quickgelu"
    assert found.described.files[0].licence == "MIT"


def test_a_whole_set_is_imported_as_it_is_and_alone(home, tiny_models, tmp_path):
    source = Path(shutil.copytree(tiny_models, tmp_path / "source"))
    files = [{"role": "sam", "name": "sam_tiny.pth"}, {"role": "clip", "name": "clip_tiny.pt"}]
    parameters = {"points_per_side": 4}
    manifest = {"id": "a", "title": "A", "pipelines": ["sam-clip"], "files": files, "parameters": parameters}
    (source / "models.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=r"is a whole set with a models\.json: import it alone"):
        import_set("mine", [source, write_tiny_detector(tmp_path / "dino")])
    assert nothing_in(home)
    import_set("mine", [source])
    assert dict(resolve_set("mine", ("sam", "clip")).parameters) == parameters


def test_two_of_a_role_and_two_of_a_name_are_refused_before_anything_is_copied(home, tiny_models, tmp_path):
    first, second = (Path(shutil.copytree(tiny_models, tmp_path / name)) for name in ("first", "second"))
    with pytest.raises(ModelError, match=r"first/sam_tiny\.pth and .*second/sam_tiny\.pth are two SAM checkpoints"):
        import_set("mine", [first / "sam_tiny.pth", second / "sam_tiny.pth"])
    (first / "sam_tiny.pth").rename(first / "weights.pt")
    (second / "clip_tiny.pt").rename(second / "Weights.pt")
    with pytest.raises(ModelError, match=r"first/weights\.pt and .*second/Weights\.pt would both become Weights\.pt"):
        import_set("mine", [first / "weights.pt", second / "Weights.pt"])
    assert nothing_in(home)
    folder = import_set("mine", [first / "weights.pt", first / "weights.pt"])
    assert files_in(folder) == ["weights.pt"]


def test_models_with_files_of_the_same_names_beside_them_lie_in_folders_of_their_own(home, tmp_path):
    given = [write_hf_sam(tmp_path / "sam-vit-tiny"), write_tiny_detector(tmp_path / "dino").parent]
    folder = import_set("mine", given)
    assert {path.name for path in folder.iterdir()} == {"sam-vit-tiny", "dino"}
    assert roles_of(verify_set("mine"))[:2] == ["sam", "detector"]


def test_a_snapshot_in_a_cache_of_hugging_face_is_called_after_its_repository(home, tmp_path):
    cached = tmp_path / "models--facebook--sam-vit-tiny" / "snapshots" / "70c1a07f"
    source, blobs = write_hf_sam(tmp_path / "plain"), tmp_path / "blobs"
    cached.mkdir(parents=True)
    blobs.mkdir()
    for number, path in enumerate(source.iterdir()):  # the cache has links to files that are named after digests
        shutil.copy(path, blobs / str(number))
        (cached / path.name).symlink_to(blobs / str(number))
    folder = import_set("mine", [cached])
    assert "sam-vit-tiny/model.safetensors" in files_in(folder)
    assert not any(path.is_symlink() for path in folder.rglob("*"))


def test_a_set_that_cannot_be_copied_whole_leaves_nothing_and_says_so(home, tiny_models):
    size = (tiny_models / "clip_tiny.pt").stat().st_size
    with (
        files_end_at(size // 2),
        pytest.raises(EngineError, match=r"(File too large|No space).* nothing was imported, so make room"),
    ):
        import_set("mine", sorted(tiny_models.iterdir()))
    assert nothing_in(home)


def test_a_disk_that_is_too_small_is_told_before_anything_is_copied(tmp_path):
    with pytest.raises(EngineError, match=r"GB free, and the models need 1152921504\.6 GB"):
        require_room(tmp_path, 2**60)


def test_what_a_killed_import_left_behind_is_removed_by_a_later_one(home, tiny_models):
    forgotten, growing = home / ".importing-old", home / ".importing-new"
    forgotten.mkdir(parents=True)
    growing.mkdir()
    os.utime(forgotten, (0, 0))
    import_set("mine", [tiny_models / "sam_tiny.pth"])
    assert {path.name for path in home.iterdir()} == {"mine", ".importing-new"}


def test_a_place_that_cannot_be_written_is_told_in_words(home, tiny_models):
    home.write_text("a file where the folder should be")
    with pytest.raises(EngineError, match=r"could not be written to .*mine"):
        import_set("mine", [tiny_models / "sam_tiny.pth"])


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "NUL", "sam:large"])
def test_a_name_that_is_no_plain_one_is_refused(home, tiny_models, name):
    with pytest.raises(ModelError, match="is no plain name"):
        import_set(name, [tiny_models / "sam_tiny.pth"])


def test_a_checkpoint_of_a_training_is_taken_out_of_its_zip(home, tiny_models, tmp_path):
    packed = write_training_zip(tmp_path / "SkyCLIP_ViT_B32_top50pct.zip")
    folder = import_set("sky", [packed, tiny_models / "sam_tiny.pth"])
    assert files_in(folder) == ["SkyCLIP_ViT_B32_top50pct.pt", "sam_tiny.pth"]
    said = verify_set("sky")
    assert roles_of(said)[:2] == ["sam", "clip"]
    assert "cannot" not in said
    assert [path.name for path in home.iterdir()] == ["sky"]
    with pytest.raises(ModelError, match=r"clip_tiny\.pt and .*SkyCLIP_ViT_B32_top50pct\.zip are two CLIP"):
        import_set("two", [packed, tiny_models / "clip_tiny.pt"])
    assert [path.name for path in home.iterdir()] == ["sky"]


def test_an_unpacked_checkpoint_of_a_training_keeps_the_name_of_its_folder(home, tmp_path):
    packed = write_training_zip(tmp_path / "SkyCLIP_ViT_B32_top50pct.zip")
    zipfile.ZipFile(packed).extractall(tmp_path)
    folder = import_set("sky", [tmp_path / "SkyCLIP_ViT_B32_top50pct" / "epoch_20.pt"])
    assert files_in(folder) == ["SkyCLIP_ViT_B32_top50pct_epoch_20.pt"]
    assert not resolve_set("sky", ("clip",)).checkpoints["clip"].notes


def test_names_in_a_zip_never_become_paths(home, tmp_path, tiny_models):
    packed = tmp_path / "evil.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(tiny_models / "clip_tiny.pt", "../../../outside/evil.pt")
        archive.writestr("../../../outside/open_clip_config.json", "{}")
    folder = import_set("mine", [packed])
    assert files_in(folder) == ["evil.pt", "open_clip_config.json"]
    assert not list(tmp_path.rglob("outside"))


def test_a_zip_that_is_not_what_it_seems_is_refused_and_leaves_nothing(home, tmp_path, tiny_models, subtests):
    def pack(name: str, *entries: tuple[str, bytes]) -> Path:
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for entry, content in entries:
                archive.writestr(entry, content)
        return tmp_path / name

    clip = (tiny_models / "clip_tiny.pt").read_bytes()[:200_000]
    bomb = pack("bomb.zip", ("a.pt", bytes(5_000_000)))
    lying = pack("lying.zip", ("a.pt", clip))
    content = bytearray(lying.read_bytes())
    place = content.rindex(b"PK\x01\x02")
    content[place + 24 : place + 28] = struct.pack("<L", 1000)  # the size that the directory declares
    lying.write_bytes(content)
    cut = tmp_path / "cut.zip"
    cut.write_bytes(lying.read_bytes()[:5000])
    rows = (
        (bomb, r"would unpack to 5 MB, far more"),
        (lying, "is damaged at a.pt"),
        (cut, "is no zip file that can be read"),
        (pack("none.zip", ("readme.txt", b"x")), r"holds 0 checkpoints \(none\)"),
        (pack("two.zip", ("a.pt", clip), ("b.pt", clip)), r"holds 2 checkpoints \(a\.pt, b\.pt\)"),
        (pack("other.zip", ("a.pt", b"no weights at all")), "is not a checkpoint"),
    )
    for path, words in rows:
        with subtests.test(path.name):
            with pytest.raises(ModelError, match=words):
                import_set("mine", [path])
            assert nothing_in(home)


def test_a_folder_with_a_zip_says_how_to_import_it(tmp_path):
    write_training_zip(tmp_path / "SkyCLIP_ViT_B32_top50pct.zip")
    with pytest.raises(ModelError, match=r"import what is packed in SkyCLIP_ViT_B32_top50pct\.zip with 'models import"):
        resolve_set(str(tmp_path), ("clip",))


def test_the_detector_of_text2seg_is_imported_with_its_vocabulary(home, tiny_models, tmp_path):
    weights = write_original_dino(tmp_path / "weights")
    folder = import_set("text2seg", [weights, *sorted(tiny_models.iterdir())])
    assert files_in(folder) == ["clip_tiny.pt", "groundingdino_swint_ogc.pth", "sam_tiny.pth", "vocab.txt"]
    assert "text2seg" in verify_set("text2seg").splitlines()[-1]
