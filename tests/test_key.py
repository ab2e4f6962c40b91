"""A key goes from QGIS's authentication store to the server, and is in no file afterwards: real QGIS, real engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from openai_server import OpenAiServer, says
from rasters import texture, write_raster

from stage import stage

HERE = Path(__file__).parent
KEY = "sk-never-to-be-seen-again"
IN_ADDRESS = "code-never-to-be-seen-again"  # some servers want a key in the address
SECRETS = (KEY, IN_ADDRESS)
ROOF = {"label": "a grey roof", "box": [10, 10, 40, 36], "inside": [[24, 22]], "outside": [], "confidence": 0.9}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Everything that one user has: home, project, results."""
    return tmp_path_factory.mktemp("user")


@pytest.fixture(scope="module")
def ran(folder, tiny_models):
    """What tests/drivers/real_qgis_key.py saw, what the server received, and what QGIS printed."""
    (folder / "key").write_text(KEY)
    with OpenAiServer(says(json.dumps({"instances": [ROOF]}))) as server:
        process = subprocess.run(
            ["xvfb-run", "--auto-servernum", "--server-args", "-screen 0 1280x900x24", "qgis", "--nologo", "--code",
             str(HERE / "drivers" / "real_qgis_key.py")],
            env=environment(folder, f"{server.base_url}?code={IN_ADDRESS}", tiny_models),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )  # fmt: skip
    printed = process.stdout + process.stderr
    assert (folder / "observed.json").exists(), printed[-2000:]
    return json.loads((folder / "observed.json").read_text()), server.received, printed


def environment(folder: Path, base_url: str, models: Path) -> dict[str, str]:
    """A fresh user with the staged plugin and the real engine."""

    profile = folder / "home" / ".local" / "share" / "QGIS" / "QGIS3" / "profiles" / "default" / "QGIS"
    profile.mkdir(parents=True)
    (profile / "QGIS3.ini").write_text("[qgis]\nshowTips=false\ncheckVersion=false\n")
    (folder / "runtime").mkdir(mode=0o700)
    stage(folder / "plugins", link=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("QT_", "QGIS_", "PYTHON"))}
    return {
        **kept,
        "HOME": str(folder / "home"),
        "XDG_RUNTIME_DIR": str(folder / "runtime"),
        "TMPDIR": str(folder / "runtime"),
        "QGIS_PLUGINPATH": str(folder / "plugins"),
        "RS_TEXTSEG_ENGINE_PYTHON": sys.executable,
        "RS_TEXTSEG_RASTER": str(write_raster(folder / "scene.tif", texture())),
        "RS_TEXTSEG_OBSERVED": str(folder / "observed.json"),
        "RS_TEXTSEG_SERVER": base_url,
        "RS_TEXTSEG_KEY_FILE": str(folder / "key"),
        "RS_TEXTSEG_TEST_MODELS": str(models),
    }


def test_the_server_gets_the_key_after_the_user_agreed(ran):
    seen, received, _ = ran
    assert "will be sent to a server on this computer" in seen["question"]
    # Of the picture with marks too, which a model of no known family is shown first.
    assert [request.headers["authorization"] for request in received] == [f"Bearer {KEY}"] * 2, seen["failure"]
    assert f"code={IN_ADDRESS}" in received[0].path


def test_the_answer_is_shown_in_words_boxes_and_points(ran):
    seen, _, _ = ran
    assert seen["answers"] == "The model answered:\n1. a grey roof (90 %)"
    assert {"Boxes: a roof", "Points: a roof"} <= set(seen["layers"])


def test_the_key_is_in_no_file_afterwards(ran, folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    kinds = {path.suffix for path in files}
    assert {".qgs", ".gpkg", ".geojson", ".ini", ".db"} <= kinds
    found = [(path.name, secret) for path in files for secret in SECRETS if secret.encode() in path.read_bytes()]
    assert found == []


def test_the_key_is_neither_printed_nor_logged(ran):
    seen, _, printed = ran
    assert [secret for secret in SECRETS if secret in printed or secret in "".join(seen["log"])] == []
    assert len(seen["configuration"]) == 7  # the id, which is remembered
