"""Checkpoints that would run code, fill the memory, or never end."""

from __future__ import annotations

import pickle
import shutil
import struct
import time
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.loading.files import resolve_set
from rs_textseg_plugin.engine.models.archives.opcodes import DamagedPickle
from rs_textseg_plugin.engine.models.archives.pickled_tensors import HoldsCode, read_pickled
from rs_textseg_plugin.engine.models.checkpoint import load_state_dict, peek_keys_and_shapes
from rs_textseg_plugin.engine.models.clip import load_clip
from rs_textseg_plugin.engine.models.sam import load_sam
from rs_textseg_plugin.engine.vlm.qwen.qwen_folder import family_of

DATA = Path(__file__).parents[2] / "data"


def assert_refused_at_once(path: Path, words: str) -> None:
    """Both readers say a sentence within a second of this process's time."""
    for read in (peek_keys_and_shapes, load_state_dict):
        start_s = time.process_time()
        with pytest.raises(ModelError, match=words) as failure:
            read(path)
        assert time.process_time() - start_s < 1.0
        assert len(str(failure.value)) < 400


def test_an_archive_that_writes_a_file_when_torch_opens_it_is_read_without_doing_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # its code writes "it_ran" into the working directory
    (tmp_path / "models").mkdir()
    path = Path(shutil.copyfile(DATA / "writes_a_file.pt", tmp_path / "models" / "clip.pt"))
    assert_refused_at_once(path, r"holds more than weights \(__torch__\.WritesAFile\.__setstate__\)")
    with pytest.raises(ModelError, match="holds more than weights"):
        resolve_set(str(tmp_path / "models"), ("clip",))
    assert [file.name for file in tmp_path.iterdir()] == ["models"]


def test_looking_at_names_reads_no_numbers(tmp_path):
    """A file as before torch 1.6, whose half a gigabyte of zeros is a hole on the disk."""
    path = tmp_path / "large.pth"
    torch.save({"w": torch.zeros(4)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    assert content.count(b"K\x04") == 4  # of which two say how long an int and a long are
    path.write_bytes(content.replace(b"K\x04", b"J\0\0\0\x08"))
    with path.open("r+b") as file:
        file.truncate(2**29 + 2000)
    start_s = time.process_time()
    assert peek_keys_and_shapes(path) == {"w": (2**27,)}
    assert time.process_time() - start_s < 0.05


def zip_of(path: Path, pickled: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/data/0", b"\0" * 16)
    return path


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(tmp_path):
    path = zip_of(tmp_path / "bomb.pth", b"\x80\x02" + b"N" * 60_000_000, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    assert_refused_at_once(path, "lists more names than any model has .a list of tensors of 60 MB.")


@pytest.mark.parametrize("count", [400_000, 1_000_000])
def test_a_list_of_a_million_names_is_refused(count, tmp_path):
    names = b"".join(b"X\x08\0\0\0%08dN" % number for number in range(count))
    path = zip_of(tmp_path / "names.pth", b"\x80\x02}(" + names + b"u.")
    assert_refused_at_once(path, "lists more names than any model has")


def test_a_safetensors_header_of_half_a_million_names_is_refused(tmp_path):
    entries = ",".join(
        f'"layer.{number}.weight":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for number in range(500_000)
    )
    header = f"{{{entries}}}".encode()
    path = tmp_path / "names.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    assert_refused_at_once(path, "lists more names than any model has .a header of")


def test_a_zip_directory_of_half_a_million_files_is_refused(tmp_path):
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0)
    directory = b"".join(entry + b"%08d" % number for number in range(500_000))
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(directory), 4, 0)
    path = tmp_path / "files.pth"
    path.write_bytes(b"PK\x03\x04" + directory + end)
    assert_refused_at_once(path, "lists more names than any model has .a directory of 27 MB.")


@pytest.mark.parametrize("use_zip", [True, False])
def test_a_tensor_that_claims_a_trillion_numbers_and_stores_one_is_refused(use_zip, tmp_path):
    path = tmp_path / "wide.pth"
    torch.save({"w": torch.zeros(1).expand(10**6, 10**6)}, path, _use_new_zipfile_serialization=use_zip)
    assert path.stat().st_size < 2000
    assert_refused_at_once(path, "is damaged or cut off")


def test_two_records_of_one_name_are_refused_since_readers_differ_in_which_they_take(tmp_path):
    path = tmp_path / "two.pth"
    torch.save({"w": torch.ones(2)}, path)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("two/data.pkl", pickle.dumps({"other": 1}, 2))
    assert_refused_at_once(path, "is damaged or cut off")


MACHINES = {
    "a value is missing": b"\x80\x02s.",
    "no mark": b"\x80\x02}u.",
    "nothing is remembered": b"\x80\x02h\x05.",
    "no end": b"\x80\x02})R",
    "a key without a value": b"\x80\x02}(Nu.",
    "a tuple as a key, nested 200,000 deep": b"\x80\x02})" + b"\x85" * 200_000 + b"Ns.",
    "an extension of copyreg": b"\x80\x02\x82\x01.",
    "a call of a dictionary": b"\x80\x02})R.",
    "an instance the old way": b"(cos\nsystem\nios\nsystem\n.",
}


def test_a_pickle_of_nonsense_is_refused_in_our_own_words(subtests):
    for name, content in MACHINES.items():
        with subtests.test(name), pytest.raises((DamagedPickle, HoldsCode)):
            read_pickled(content)


def test_modules_within_themselves_end(tmp_path):
    """An object whose attribute is itself, in an archive of TorchScript."""
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02c__torch__\nA\n)\x81q\x00}X\x04\0\0\0selfh\x00sb.")
        archive.writestr("a/constants.pkl", b"\x80\x02).")
    assert_refused_at_once(path, "is damaged or cut off")


def test_a_damaged_stream_in_a_packed_record_is_refused(tmp_path):
    path = zip_of(tmp_path / "a.pth", b"\x80\x02}(" + bytes(range(128, 256)) * 40 + b"u.", zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    content[40:60] = b"\xff" * 20
    path.write_bytes(content)
    assert_refused_at_once(path, "is damaged or cut off")


def test_a_configuration_nested_without_end_is_refused(subtests, tmp_path):
    nested, cpu = "[" * 200_000, torch.device("cpu")
    weights = {f"{part}.x": torch.zeros(1) for part in ("image_encoder", "prompt_encoder", "mask_decoder")}
    weights |= {"visual.x": torch.zeros(1), "text.x": torch.zeros(1)}
    path = tmp_path / "a.safetensors"
    save_file(weights, path, {"sam_config": nested, "clip_config": nested})
    save_file(
        {key: weights[key] for key in ("visual.x", "text.x")}, tmp_path / "clip.safetensors", {"clip_config": nested}
    )
    (tmp_path / "config.json").write_text(nested)
    for name, read in (
        ("SAM", lambda: load_sam(tmp_path / "sam.safetensors", cpu, torch.float32)),
        ("CLIP", lambda: load_clip(tmp_path / "clip.safetensors", "", cpu, torch.float32)),
        ("Qwen", lambda: family_of(tmp_path)),
    ):
        with subtests.test(name), pytest.raises(ModelError) as failure:
            read()
        assert len(str(failure.value)) < 500
