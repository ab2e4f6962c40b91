"""Runs inside a real QGIS for tests/test_key.py: asks a server with a key from the authentication store, and saves all.

The server's address is in RS_TEXTSEG_SERVER, the key in a file that RS_TEXTSEG_KEY_FILE names and that is removed here,
the models in RS_TEXTSEG_TEST_MODELS, the raster in RS_TEXTSEG_RASTER. What was seen goes to RS_TEXTSEG_OBSERVED.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from qgis.core import QgsApplication, QgsAuthMethodConfig, QgsProject, QgsSettings
from qgis.gui import QgsAuthConfigSelect
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import (
    QApplication,
    QComboBox,
    QDockWidget,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPlainTextEdit,
    QPushButton,
)
from qgis.utils import iface, loadPlugin, startPlugin

STEP_MS = 100
LAST_STEP = 900
SEEN = {}
LOG = []


def store_key():
    key_file = Path(os.environ["RS_TEXTSEG_KEY_FILE"])
    manager = QgsApplication.authManager()
    manager.setMasterPassword("master", True)
    configuration = QgsAuthMethodConfig("Basic")
    configuration.setName("server")
    configuration.setConfig("password", key_file.read_text())
    manager.storeAuthenticationConfig(configuration)
    key_file.unlink()
    return configuration.id()


def agree():
    box = QApplication.activeModalWidget()
    if isinstance(box, QMessageBox):
        SEEN["question"] = box.text()
        box.button(QMessageBox.StandardButton.Yes).click()
    else:
        QTimer.singleShot(50, agree)


def type_in(dock, name, text):
    line = dock.findChild(QLineEdit, name)
    line.setText(text)
    line.textEdited.emit(text)


def script():
    QgsApplication.messageLog().messageReceived.connect(lambda *words: LOG.append(str(words)))
    configuration = store_key()
    iface.addRasterLayer(os.environ["RS_TEXTSEG_RASTER"], "scene")
    QgsProject.instance().write(str(Path("map.qgs").absolute()))
    yield
    loadPlugin("rs_textseg_plugin")
    startPlugin("rs_textseg_plugin")
    dock = iface.mainWindow().findChild(QDockWidget, "RsTextSegDock")
    dock.show()
    yield
    method = dock.findChild(QComboBox, "method")
    method.setCurrentIndex(method.findData("vlm-sam"))
    dock.findChild(QComboBox, "models").setEditText(os.environ["RS_TEXTSEG_TEST_MODELS"])
    dock.findChild(QPlainTextEdit, "text").setPlainText("a roof")
    type_in(dock, "baseUrl", os.environ["RS_TEXTSEG_SERVER"])
    type_in(dock, "serverModel", "scripted")
    yield
    dock.findChild(QgsAuthConfigSelect, "key").setConfigId(configuration)
    yield
    QTimer.singleShot(0, agree)
    dock.findChild(QPushButton, "run").click()
    while not dock.findChild(QPushButton, "run").isEnabled():
        yield
    SEEN["answers"] = dock.findChild(QLabel, "answers").text()
    SEEN["failure"] = dock.findChild(QLabel, "failure").text()
    SEEN["layers"] = sorted(layer.name() for layer in QgsProject.instance().mapLayers().values())
    QgsProject.instance().write()
    QgsSettings().sync()
    SEEN["configuration"] = QgsSettings().value("rs_textseg/vlm/authcfg")
    SEEN["log"] = LOG


class Player:
    """Plays the script step by step from QGIS's event loop, writes what it saw, and ends QGIS."""

    def __init__(self):
        self.script, self.steps, self.is_busy = script(), 0, False
        self.timer = QTimer()
        self.timer.timeout.connect(self.step)
        self.timer.start(STEP_MS)

    def step(self):
        if self.is_busy:  # a dialog is open, in the middle of a step
            return
        is_over, self.is_busy = True, True
        try:
            self.steps += 1
            is_over = self.steps > LAST_STEP or next(self.script, self) is self
        finally:
            self.is_busy = False
            if is_over:
                self.timer.stop()
                Path(os.environ["RS_TEXTSEG_OBSERVED"]).write_text(json.dumps(SEEN))
                QgsProject.instance().clear()  # QGIS would ask what to do with temporary layers
                QgsProject.instance().setDirty(False)
                iface.actionExit().trigger()


player = Player()
