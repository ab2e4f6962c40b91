from __future__ import annotations

import socket
import struct
import threading
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from tiny_upsamplers import published_state

from rs_textseg_plugin.contract import catalog
from rs_textseg_plugin.contract.catalog import ModelFile, ModelSet
from rs_textseg_plugin.contract.errors import EngineError, ModelError
from rs_textseg_plugin.engine.loading import files as weights
from rs_textseg_plugin.engine.loading import sets as model_sets
from rs_textseg_plugin.engine.loading.importing import import_set
from rs_textseg_plugin.engine.loading.sets import describe_sets, fetch_set, verify_set

SAM, CLIP = b"weights of a SAM " * 9000, b"weights of a CLIP " * 5000
SENT_BEFORE_THE_BREAK = len(SAM) // 3


class Handler(BaseHTTPRequestHandler):
    """Sends what `Server.files` holds; under ``/cut/`` and ``/reset/`` the connection breaks on the way."""

    def do_GET(self):
        self.server.asked.append(self.path)
        kind, _, name = self.path.strip("/").partition("/")
        if name not in self.server.files:
            self.send_error(404)
            return
        content = self.server.files[name]
        if kind == "chunked":
            self.protocol_version = "HTTP/1.1"
        self.send_response(200)
        if kind == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write({"chunked": b"ffffff\r\n"}.get(kind, b""))
        self.wfile.write(content if kind == "whole" else content[:SENT_BEFORE_THE_BREAK])
        if kind == "reset":  # a break that the other side is told of, as when a router gives up
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def finish(self):
        if not self.connection._closed:
            super().finish()

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"sam.pth": SAM, "clip.pt": CLIP}
        self.asked: list[str] = []

    def url(self, kind: str, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{kind}/{name}"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("RS_TEXTSEG_MODELS", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def list_files(monkeypatch, home):
    """Make the catalogue one set, ``pair``, of those files."""

    def listed(*files: ModelFile) -> None:
        entry = ModelSet("pair", "A pair", files, ("sam-clip",))
        for module in (catalog, model_sets, weights):
            monkeypatch.setattr(module, "load_catalog", lambda: (entry,))

    return listed


def sam_at(url: str, content: bytes = SAM) -> ModelFile:
    digest = sha256(content).hexdigest()
    return ModelFile("sam", "sam.pth", url, digest, len(content), "Apache-2.0", "https://example.org/sam")


def clip_at(url: str) -> ModelFile:
    return ModelFile("clip", "clip.pt", url, sha256(CLIP).hexdigest()[:8], len(CLIP), "MIT")


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_set_is_fetched_whole_and_then_listed_as_here(server, home, list_files, capfd):
    list_files(sam_at(server.url("whole", "sam.pth")), clip_at(server.url("whole", "clip.pt")))
    assert "not fetched" in describe_sets()
    assert fetch_set("pair") == home / "pair"
    assert (home / "pair" / "sam.pth").read_bytes() == SAM
    assert (home / "pair" / "clip.pt").read_bytes() == CLIP
    assert files_in(home) == ["clip.pt", "sam.pth"]
    assert "Apache-2.0, https://example.org/sam" in capfd.readouterr().out
    assert "not fetched" not in describe_sets()


@pytest.fixture
def detector_at(server):
    """A detector in a folder of its own with a file beside it, both on the server."""
    server.files |= {"model.safetensors": CLIP, "config.json": b"{}"}
    config = ModelFile("detector", "dino/config.json", server.url("whole", "config.json"), sha256(b"{}").hexdigest(), 2)
    digest = sha256(CLIP).hexdigest()
    url = server.url("whole", "model.safetensors")
    return ModelFile("detector", "dino/model.safetensors", url, digest, len(CLIP), beside=(config,))


def test_what_lies_beside_a_checkpoint_is_fetched_before_it_and_verified_with_it(server, home, list_files, detector_at):
    list_files(detector_at)
    folder = fetch_set("pair") / "dino"
    assert [name.rpartition("/")[2] for name in server.asked] == ["config.json", "model.safetensors"]
    assert weights.resolve_set("pair", ["detector"]).checkpoints["detector"].path == folder / "model.safetensors"
    (folder / "config.json").write_text("[]")
    with pytest.raises(ModelError, match=r"config\.json is not the file that is listed"):
        weights.resolve_set("pair", ["detector"])
    (folder / "config.json").unlink()
    assert "not fetched" in describe_sets()
    with pytest.raises(ModelError, match=r"config\.json is missing: fetch or copy it"):
        weights.resolve_set("pair", ["detector"])


def test_a_second_fetch_downloads_nothing(server, home, list_files):
    list_files(sam_at(server.url("whole", "sam.pth")), clip_at(server.url("whole", "clip.pt")))
    fetch_set("pair")
    fetch_set("pair")
    assert server.asked == ["/whole/sam.pth", "/whole/clip.pt"]


def test_only_the_file_that_is_missing_is_fetched(server, home, list_files):
    list_files(sam_at(server.url("whole", "sam.pth")), clip_at(server.url("whole", "clip.pt")))
    (home / "pair").mkdir(parents=True)
    (home / "pair" / "sam.pth").write_bytes(SAM)
    fetch_set("pair")
    assert server.asked == ["/whole/clip.pt"]


def test_a_file_that_is_here_and_wrong_is_named_and_not_replaced(server, home, list_files):
    list_files(sam_at(server.url("whole", "sam.pth")))
    (home / "pair").mkdir(parents=True)
    (home / "pair" / "sam.pth").write_bytes(b"another")
    with pytest.raises(ModelError, match=r"sam\.pth is not the file that is listed .* remove it and fetch it again"):
        fetch_set("pair")
    assert (home / "pair" / "sam.pth").read_bytes() == b"another"
    assert server.asked == []


def test_a_wrong_digest_leaves_no_file_and_says_so(server, home, list_files):
    list_files(sam_at(server.url("whole", "sam.pth"), content=b"what was listed"))
    with pytest.raises(ModelError, match=r"sam\.pth is not the listed file .* the download was thrown away\.$"):
        fetch_set("pair")
    assert files_in(home) == []


def test_a_file_that_the_server_does_not_have_is_told_in_words(server, home, list_files):
    list_files(sam_at(server.url("whole", "gone.pth")))
    with pytest.raises(EngineError, match=r"gone\.pth could not be fetched \(.*404.*check the connection.* by hand\.$"):
        fetch_set("pair")
    assert files_in(home) == []


def test_a_server_that_is_gone_is_told_in_words(home, list_files):
    with socket.socket() as taken:  # bound and never listening: nobody else can answer there
        taken.bind(("127.0.0.1", 0))
        list_files(sam_at(f"http://127.0.0.1:{taken.getsockname()[1]}/whole/sam.pth"))
        with pytest.raises(EngineError, match=r"could not be fetched .*refused.* check the connection"):
            fetch_set("pair")
    assert files_in(home) == []


@pytest.mark.parametrize("kind", ["reset", "chunked"])
def test_an_interrupted_download_leaves_nothing_and_says_so(server, home, list_files, kind):
    list_files(sam_at(server.url(kind, "sam.pth")))
    with pytest.raises(EngineError, match=r"sam\.pth could not be fetched"):
        fetch_set("pair")
    assert files_in(home) == []


def test_a_download_that_ends_too_early_leaves_nothing(server, home, list_files):
    list_files(sam_at(server.url("cut", "sam.pth")))
    with pytest.raises(ModelError, match=r"sam\.pth is not the listed file"):
        fetch_set("pair")
    assert files_in(home) == []


def test_a_fetch_after_an_interrupted_one_succeeds(server, home, list_files):
    list_files(clip_at(server.url("whole", "clip.pt")), sam_at(server.url("reset", "sam.pth")))
    with pytest.raises(EngineError):
        fetch_set("pair")
    assert files_in(home) == ["clip.pt"]
    list_files(clip_at(server.url("whole", "clip.pt")), sam_at(server.url("whole", "sam.pth")))
    fetch_set("pair")
    assert server.asked.count("/whole/clip.pt") == 1
    assert (home / "pair" / "sam.pth").read_bytes() == SAM


def test_a_folder_that_cannot_be_made_is_told_in_words(server, home, list_files):
    list_files(sam_at(server.url("whole", "sam.pth")))
    home.write_text("a file where the folder should be")
    with pytest.raises(EngineError, match=r"The folder .*pair cannot be made .*RS_TEXTSEG_MODELS"):
        fetch_set("pair")
    assert server.asked == []


def test_a_set_that_is_not_in_the_catalogue_cannot_be_fetched(home, list_files):
    list_files(sam_at("http://127.0.0.1:1/sam.pth"))
    with pytest.raises(ModelError, match="no model set 'trio' to fetch: choose one of pair"):
        fetch_set("trio")
    assert not home.exists()


def test_a_set_is_verified_with_whatever_it_holds_and_says_which_pipelines_it_serves(home, tiny_models, tmp_path):
    torch.save({f"upsampler.{name}": value for name, value in published_state(32).items()}, tmp_path / "up.ckpt")
    import_set("dense", [tiny_models / "clip_tiny.pt", tmp_path / "up.ckpt"])
    import_set("both", sorted(tiny_models.iterdir()))
    lines = [line for line in verify_set("dense").splitlines() if not line.startswith("  ")]
    assert [line.split(":")[0] for line in lines] == ["clip", "upsampler", "It serves segearth-ov."]
    assert verify_set("both").endswith("It serves sam-clip, segearth-ov, surgery-sam, text2seg, vlm-sam.")
    import_set("alone", [tiny_models / "sam_tiny.pth"])
    assert verify_set("alone").endswith("It serves vlm-sam.")
    import_set("lonely", [tmp_path / "up.ckpt"])
    with pytest.raises(
        ModelError, match=r"'lonely' holds upsampler, which no method can work with alone .*sam-clip: sam and clip"
    ):
        verify_set("lonely")
