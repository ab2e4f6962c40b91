"""Model sets from servers on loopback: what is fetched is what is listed, or nothing."""

from __future__ import annotations

import io
import json
import shutil
import socket
import ssl
import struct
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from certificates import make_certificate
from small_disk import files_end_at

from rs_textseg_plugin.contract import catalog
from rs_textseg_plugin.contract.catalog import ModelFile, ModelSet
from rs_textseg_plugin.contract.errors import EngineError, ModelError, RecipeError
from rs_textseg_plugin.engine.loading import fetching
from rs_textseg_plugin.engine.loading import files as weights
from rs_textseg_plugin.engine.loading import sets as model_sets
from rs_textseg_plugin.engine.loading.fetching import fetch_set
from rs_textseg_plugin.engine.loading.sets import describe_sets

SAM, CLIP = b"weights of a SAM " * 9000, b"weights of a CLIP " * 5000
SENT_BEFORE_THE_BREAK = len(SAM) // 3


class Handler(BaseHTTPRequestHandler):
    """Sends what `Server.files` holds; under ``/cut/`` and ``/reset/`` the connection breaks on the way.

    What is asked for under ``/away/`` is at `Server.elsewhere`.
    """

    def do_GET(self):
        self.server.asked.append(self.path)
        kind, _, name = self.path.strip("/").partition("/")
        if name not in self.server.files:
            self.send_error(404)
            return
        if kind == "away":
            self.send_response(302)
            self.send_header("Location", f"{self.server.elsewhere}/whole/{name}")
            self.end_headers()
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

    def __init__(self, certificate: Path | None = None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"sam.pth": SAM, "clip.pt": CLIP}
        self.asked: list[str] = []
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.elsewhere = ""
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
            self.address = f"https://localhost:{self.server_port}"

    def url(self, kind: str, name: str) -> str:
        return f"{self.address}/{kind}/{name}"


@contextmanager
def running(server: Server) -> Iterator[Server]:
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running(Server()) as plain:
        yield plain


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def safe_server(certificate, monkeypatch):
    """A server that speaks TLS, as files without a listed digest need it."""
    monkeypatch.setenv("no_proxy", "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
    with running(Server(certificate)) as safe:
        yield safe


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("RS_TEXTSEG_MODELS", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def list_files(monkeypatch, home):
    """Make the catalogue one set, ``pair``, of those files."""

    def listed(*files: ModelFile) -> None:
        entry = ModelSet("pair", "A pair", files, ("sam-clip",))
        for module in (catalog, fetching, model_sets, weights):
            monkeypatch.setattr(module, "load_catalog", lambda: (entry,))

    return listed


def sam_at(url: str, content: bytes = SAM) -> ModelFile:
    digest = sha256(content).hexdigest()
    return ModelFile("sam", "sam.pth", url, digest, len(content), "Apache-2.0", "https://example.org/sam")


def clip_at(url: str) -> ModelFile:
    return ModelFile("clip", "clip.pt", url, sha256(CLIP).hexdigest(), len(CLIP), "MIT")


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
    with pytest.raises(EngineError, match=r"sam\.pth could not be fetched"):
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
    with pytest.raises(
        ModelError, match="no model set 'trio' to fetch: choose one such as pair; 'models list' shows all"
    ):
        fetch_set("trio")
    assert not home.exists()


def unlisted_at(url: str) -> ModelFile:
    """A SAM whose digest and size no public source states."""
    return ModelFile("sam", "sam.pth", url, licence="MIT", source="https://example.org/sam")


def test_a_digest_that_is_not_listed_is_recorded_at_the_first_fetch_and_compared_from_then_on(
    safe_server, home, list_files
):
    list_files(unlisted_at(safe_server.url("whole", "sam.pth")))
    assert "not fetched, unverified" in describe_sets()
    folder = fetch_set("pair")
    record = json.loads((folder / "fetched.json").read_text())["sam.pth"]
    assert (record["sha256"], record["url"]) == (sha256(SAM).hexdigest(), safe_server.url("whole", "sam.pth"))
    assert "here, unverified" in describe_sets()
    found = weights.resolve_set("pair", ["sam"])
    assert [file.name for file in found.unverified] == ["sam.pth"]
    assert any(
        "'pair' is unverified: no public source states the SHA-256 of sam.pth" in note for note in found.notes(1)
    )
    (folder / "sam.pth").write_bytes(CLIP)
    with pytest.raises(ModelError, match=r"sam\.pth is not the file that is listed .* when it was fetched"):
        weights.resolve_set("pair", ["sam"])


@pytest.mark.parametrize("kind", ["cut", "chunked"])
def test_what_arrives_in_part_is_not_taken_for_a_file_whose_digest_is_unknown(safe_server, home, list_files, kind):
    list_files(unlisted_at(safe_server.url(kind, "sam.pth")))
    with pytest.raises(EngineError, match=r"sam\.pth could not be fetched"):
        fetch_set("pair")
    assert files_in(home) == []


def test_a_file_whose_digest_is_unknown_comes_from_its_own_https_address_only(server, safe_server, home, list_files):
    list_files(unlisted_at(server.url("whole", "sam.pth")))
    with pytest.raises(EngineError, match=r"sent on to 127\.0\.0\.1 without encryption"):
        fetch_set("pair")
    safe_server.elsewhere = server.address
    list_files(unlisted_at(safe_server.url("away", "sam.pth")))
    with pytest.raises(EngineError, match=r"sent on to 127\.0\.0\.1 without encryption"):
        fetch_set("pair")
    with pytest.raises(RecipeError, match=r"sam\.pth of the model set 'pair' is not fetched from a mirror"):
        fetch_set("pair", f"{safe_server.address}/whole")
    assert server.asked == []
    assert files_in(home) == []


def test_a_mirror_has_the_files_under_their_names_in_the_set_and_may_send_on(server, home, list_files, detector_at):
    list_files(
        replace(detector_at, url="https://example.invalid/model.safetensors"), sam_at("https://example.invalid/s")
    )
    server.files |= {"dino/model.safetensors": CLIP, "dino/config.json": b"{}"}
    server.elsewhere = server.address
    folder = fetch_set("pair", f"{server.address}/away/")
    assert files_in(folder) == ["config.json", "model.safetensors", "sam.pth"]
    assert "/away/dino/config.json" in server.asked


def test_a_mirror_with_another_file_is_refused_and_leaves_nothing(server, home, list_files):
    list_files(sam_at("https://example.invalid/sam.pth"))
    server.files["sam.pth"] = SAM[:-1] + b"!"
    with pytest.raises(ModelError, match=r"sam\.pth is not the listed file \(SHA-256 .* the download was thrown away"):
        fetch_set("pair", f"{server.address}/whole")
    server.files["sam.pth"] = SAM + b"!"
    with pytest.raises(ModelError, match=f"it has {len(SAM) + 1} bytes, listed are {len(SAM)}"):
        fetch_set("pair", f"{server.address}/whole")
    assert files_in(home) == []


def test_a_mirror_that_is_no_address_is_told_what_to_write(home, list_files):
    list_files(sam_at("https://example.invalid/sam.pth"))
    for mirror in ("/mnt/models", "ftp://example.invalid", "example.invalid/models"):
        with pytest.raises(RecipeError, match="is no address of a server: write one that begins with https://"):
            fetch_set("pair", mirror)


def test_a_licence_that_restricts_is_shown_and_accepted_once(server, home, list_files, capfd):
    restricted = replace(
        sam_at(server.url("whole", "sam.pth")),
        licence="Research only", licence_url="https://example.org/licence", needs_acceptance=True,
    )  # fmt: skip
    list_files(restricted)
    with pytest.raises(ModelError, match=r"Research only, restricts its use: read it at https://example\.org/licence"):
        fetch_set("pair")
    assert "licence Research only, https://example.org/licence" in capfd.readouterr().out
    assert server.asked == []
    folder = fetch_set("pair", accepts_licence=True)
    shutil.rmtree(folder)
    assert fetch_set("pair") == folder
    accepted = json.loads((home / "accepted_licences.json").read_text())
    assert accepted["Research only"]["text"] == "https://example.org/licence"


def test_the_same_file_of_another_set_is_taken_and_not_fetched_again(server, home, list_files):
    (home / "other").mkdir(parents=True)
    (home / "other" / "sam.pth").write_bytes(SAM)
    list_files(sam_at(server.url("whole", "sam.pth")))
    folder = fetch_set("pair")
    assert server.asked == []
    assert (folder / "sam.pth").samefile(home / "other" / "sam.pth")
    (home / "third").mkdir()
    (home / "third" / "clip.pt").write_bytes(bytes(len(CLIP)))  # the size is right, and nothing else
    list_files(clip_at(server.url("whole", "clip.pt")))
    fetch_set("pair")
    assert (folder / "clip.pt").read_bytes() == CLIP


def test_files_that_the_disk_has_no_room_for_are_not_begun(server, home, list_files):
    list_files(replace(sam_at(server.url("whole", "sam.pth")), size_bytes=10**16))
    with pytest.raises(EngineError, match=r"has .* GB free, and the models need 10000000\.0 GB"):
        fetch_set("pair")
    assert server.asked == []


def packed(name: str, content: bytes) -> bytes:
    """Return a zip file with that content, and one that would lie outside a folder."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        file.writestr(name, content)
        file.writestr("../outside.txt", "of no use")
    return archive.getvalue()


def test_a_checkpoint_is_taken_out_of_the_archive_that_holds_it(safe_server, home, list_files):
    safe_server.files["packed.zip"] = packed("run/epoch_20.pt", SAM)
    list_files(replace(unlisted_at(safe_server.url("whole", "packed.zip")), name="sam.pt"))
    folder = fetch_set("pair")
    assert (folder / "sam.pt").read_bytes() == SAM
    assert files_in(home) == ["fetched.json", "sam.pt"]
    assert weights.resolve_set("pair", ["sam"]).checkpoints["sam"].sha256 == sha256(SAM).hexdigest()


def test_an_archive_without_a_checkpoint_with_several_or_damaged_leaves_nothing(
    subtests, safe_server, home, list_files
):
    whole = packed("run/epoch_20.pt", SAM)
    two = io.BytesIO(whole)
    with zipfile.ZipFile(two, "a") as file:
        file.writestr("run/epoch_19.pt", SAM)
    for name, content, said in (
        ("none.zip", packed("run/notes.md", SAM), "holds 0 checkpoints"),
        ("two.zip", two.getvalue(), "holds 2 checkpoints"),
        ("cut.zip", whole[:300], "is no zip file that can be read"),
        ("no.zip", SAM, "is no zip file that can be read"),
    ):
        with subtests.test(name):
            safe_server.files[name] = content
            list_files(replace(unlisted_at(safe_server.url("whole", name)), name="sam.pt"))
            with pytest.raises(ModelError, match=said):
                fetch_set("pair")
            assert files_in(home) == []


def test_a_disk_that_is_full_on_the_way_leaves_nothing_and_is_one_sentence(server, home, list_files):
    list_files(sam_at(server.url("whole", "sam.pth")))
    with files_end_at(len(SAM) // 2), pytest.raises(EngineError, match=r"sam\.pth could not be written .* make room"):
        fetch_set("pair")
    assert files_in(home) == []
