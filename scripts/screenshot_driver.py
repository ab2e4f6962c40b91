"""Runs inside QGIS for scripts/screenshot.sh: works the dock as a person would, and saves the window."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from qgis.core import QgsProject
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import (
    QApplication,
    QComboBox,
    QDockWidget,
    QLineEdit,
    QMessageBox,
    QPlainTextEdit,
    QPushButton,
    QRadioButton,
    QWidget,
)
from qgis.utils import iface

STEP_MS = 500


def script() -> Iterator[None]:
    """Do one thing after the other; each yield lets QGIS draw."""
    window = iface.mainWindow()
    window.setGeometry(0, 0, 1400, 900)
    for name in ("Browser", "LayerOrder"):
        window.findChild(QDockWidget, name).close()
    iface.addRasterLayer(os.environ["RS_TEXTSEG_PICTURE_RASTER"], Path(os.environ["RS_TEXTSEG_PICTURE_RASTER"]).stem)
    iface.zoomFull()
    yield
    dock = window.findChild(QDockWidget, "RsTextSegDock")
    dock.setUserVisible(True)
    window.resizeDocks([dock], [int(os.environ.get("RS_TEXTSEG_PICTURE_DOCK_PX", "430"))], 1)
    yield
    choose_method(dock, os.environ.get("RS_TEXTSEG_PICTURE_METHOD", ""))
    yield
    dock.findChild(QComboBox, "models").setEditText(os.environ["RS_TEXTSEG_PICTURE_MODELS"])
    dock.findChild(QPlainTextEdit, "text").setPlainText(os.environ["RS_TEXTSEG_PICTURE_TEXT"])
    yield
    moment = os.environ.get("RS_TEXTSEG_PICTURE_AT", "finished")
    if moment != "typed":
        yield from run(dock, until_finished=moment == "finished")
    for _ in range(4):
        yield
    part = dock.findChild(QWidget, os.environ.get("RS_TEXTSEG_PICTURE_OF", ""))
    (part if "RS_TEXTSEG_PICTURE_OF" in os.environ else window).grab().save(os.environ["RS_TEXTSEG_PICTURE"])
    Path("done").write_text(f"{os.environ['RS_TEXTSEG_PICTURE']} was written.\n", encoding="utf-8")
    dock.findChild(QPushButton, "cancel").click()
    while dock.findChild(QWidget, "progress").isVisible():
        yield


def choose_method(dock: QDockWidget, method: str) -> None:
    """Choose a method by its title; where a phrase may be asked, RS_TEXTSEG_PICTURE_ASK=phrase asks one."""
    if method:
        dock.findChild(QComboBox, "method").setCurrentText(method)
    button = dock.findChild(QRadioButton, f"ask_{os.environ.get('RS_TEXTSEG_PICTURE_ASK', 'classes')}")
    if not button.isHidden():
        button.click()
    for name, variable in (
        ("baseUrl", "RS_TEXTSEG_PICTURE_SERVER"),
        ("serverModel", "RS_TEXTSEG_PICTURE_SERVER_MODEL"),
    ):
        line = dock.findChild(QLineEdit, name)
        line.setText(os.environ.get(variable, ""))
        line.textEdited.emit(line.text())


def run(dock: QDockWidget, until_finished: bool) -> Iterator[None]:
    """Press Run, and wait for the result or for the first tiles."""
    button = dock.findChild(QPushButton, "run")
    if not button.isEnabled():
        return
    QTimer.singleShot(0, agree)
    button.click()
    yield
    while until_finished and dock.findChild(QPushButton, "cancel").isEnabled():
        yield


def agree(tries: int = 20) -> None:
    """Agree to send pictures, where that is asked."""
    box = QApplication.activeModalWidget()
    if isinstance(box, QMessageBox):
        box.button(QMessageBox.StandardButton.Yes).click()
    elif tries:
        QTimer.singleShot(50, lambda: agree(tries - 1))


class Player:
    """Plays the script step by step from QGIS's event loop."""

    def __init__(self) -> None:
        self._script = script()
        self._is_busy = False
        self._timer = QTimer()
        self._timer.timeout.connect(self.step)
        self._timer.start(STEP_MS)

    def step(self) -> None:
        """Do one step; after the last one, or where one fails, end QGIS."""
        if self._is_busy:  # a dialog is open, in the middle of a step
            return
        is_over = self._is_busy = True
        try:
            is_over = next(self._script, self) is self
        finally:
            self._is_busy = False
            if is_over:
                self._timer.stop()
                QgsProject.instance().clear()  # QGIS would ask what to do with layers in temporary folders
                QgsProject.instance().setDirty(False)
                iface.actionExit().trigger()


player = Player()
