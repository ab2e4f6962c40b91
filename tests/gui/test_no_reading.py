"""A letter that is typed and an event of a run read nothing: neither the disk nor the settings."""

from __future__ import annotations

import contextlib
import os
import sys

import pytest
from qgis.PyQt.QtWidgets import QPlainTextEdit

from rs_textseg_plugin.contract.events import Found, Progress
from rs_textseg_plugin.gui.dock import RsTextSegDock
from rs_textseg_plugin.gui.state.vlm_choice import VlmChoice
from rs_textseg_plugin.host.server.consent import consent
from rs_textseg_plugin.host.settings import Setting

URL = "https://api.example.org/v1"
READS: list[str] | None = None  # what is read while someone listens


def _note(event: str, arguments: tuple) -> None:
    if READS is not None and event in ("open", "os.listdir", "os.scandir"):
        READS.append(f"{event} {arguments[0]}")


sys.addaudithook(_note)  # Python cannot take it away again


@contextlib.contextmanager
def listening(monkeypatch):
    """Collect what is opened, listed, looked for on the disk, or read from the settings."""
    global READS

    def noting(name, original):
        def note(*arguments, **options):
            READS.append(f"{name} {arguments[:1]}")
            return original(*arguments, **options)

        return note

    with monkeypatch.context() as patched:
        for name in ("stat", "lstat", "access"):  # what pathlib and os.path ask with
            patched.setattr(os, name, noting(name, getattr(os, name)))
        patched.setattr(Setting, "read", noting("setting", Setting.read))
        READS = reads = []
        try:
            yield reads
        finally:
            READS = None


CHOICES = {
    "a set": {},
    "a set that is not here": {"models": "sam-b-clip-b16"},
    "a folder": {"models": "{folder}"},
    "an endpoint": {"pipeline": "vlm-sam", "vlm": VlmChoice(base_url=URL, model="gpt-5")},
    "a model in a folder": {"pipeline": "vlm-sam", "vlm": VlmChoice("folder", folder="{folder}")},
}


@pytest.fixture(params=CHOICES)
def dock(qtbot, model, layer, tmp_path, request):
    consent(URL)
    dock = RsTextSegDock(model)
    qtbot.addWidget(dock)
    dock.show()
    choices = dict(CHOICES[request.param])
    if "models" in choices:
        choices["models"] = choices["models"].format(folder=tmp_path)
    if choices.get("vlm", VlmChoice()).folder:
        choices["vlm"] = VlmChoice("folder", folder=str(tmp_path))
    model.update(layer_id=layer.id(), **choices)
    qtbot.keyClicks(dock.findChild(QPlainTextEdit, "text"), "roo")
    return dock


def test_the_listener_hears(monkeypatch, tmp_path):
    with listening(monkeypatch) as reads:
        assert (tmp_path / "none").exists() is False
        assert list(tmp_path.iterdir()) == []
        assert os.path.isdir(tmp_path)  # noqa: PTH112
        (tmp_path / "file").write_text("x")
        Setting("text", "").read()
    assert [read.split()[0] for read in reads] == ["stat", "os.listdir", "stat", "open", "setting"]


def test_a_typed_letter_reads_nothing(qtbot, dock, model, monkeypatch):
    with listening(monkeypatch) as reads:
        qtbot.keyClicks(dock.findChild(QPlainTextEdit, "text"), "f")
    assert reads == []
    assert model.state.question == "roof"


def test_an_event_of_a_run_reads_nothing(dock, model, monkeypatch):
    model.take_start()
    with listening(monkeypatch) as reads:
        model.take_progress(Progress("segmenting", 1, 2, 0.5))
        model.take_found(Found({"roof": 3}))
    assert reads == []
    assert dock.panel.bar.value() == 50
