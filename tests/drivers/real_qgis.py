"""Runs inside a real QGIS for tests/test_plugin.py: loads, uses, unloads and reloads the plugin.

What it saw is written to the file that is named by RS_TEXTSEG_OBSERVED, the raster by RS_TEXTSEG_RASTER.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

from qgis.core import QgsApplication, QgsProject
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QAction, QDockWidget, QMenu, QPlainTextEdit, QPushButton, QToolBar
from qgis.utils import iface, loadPlugin, startPlugin, unloadPlugin

PLUGIN = "rs_textseg_plugin"
STEP_MS = 100
LAST_STEP = 400
SEEN = {}


def snapshot():
    """Everything of QGIS that a plugin could leave something in."""
    window = iface.mainWindow()
    return {
        "docks": sorted(dock.objectName() for dock in window.findChildren(QDockWidget)),
        "toolbars": sorted(bar.objectName() for bar in window.findChildren(QToolBar)),
        "icons": sorted(action.objectName() or action.text() for action in iface.pluginToolBar().actions()),
        "menus": sorted(menu.title() for menu in iface.rasterMenu().findChildren(QMenu)),
        "raster menu": [action.text() for action in iface.rasterMenu().actions()],
        "help menu": sorted(action.objectName() for action in iface.pluginHelpMenu().actions()),
        "actions": sorted({action.objectName() for action in window.findChildren(QAction)}),
        "providers": sorted(provider.id() for provider in QgsApplication.processingRegistry().providers()),
        "tasks": QgsApplication.taskManager().countActiveTasks(),
        "threads": sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("rs-textseg")),
        "workers": workers(),
    }


def workers():
    """The child processes of QGIS that run the worker."""
    children = " ".join(path.read_text() for path in Path("/proc/self/task").glob("*/children")).split()
    return [pid for pid in children if b"fake_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def start():
    loadPlugin(PLUGIN)
    startPlugin(PLUGIN)
    return iface.mainWindow().findChild(QDockWidget, "RsTextSegDock")


def ask(dock, text):
    dock.findChild(QPlainTextEdit, "text").setPlainText(text)
    dock.findChild(QPushButton, "run").click()


def script():
    SEEN["without"] = snapshot()
    iface.addRasterLayer(os.environ["RS_TEXTSEG_RASTER"], "scene")
    iface.zoomFull()
    yield
    dock = start()
    SEEN["is hidden at first"] = dock.isHidden()
    iface.mainWindow().findChild(QAction, "rsTextSegToggleDock").trigger()
    yield
    SEEN["is shown by its button"] = dock.isVisible()
    ask(dock, "hang")
    while not workers():
        yield
    yield
    SEEN["while running"] = snapshot()
    start_s = time.monotonic()
    unloadPlugin(PLUGIN)
    SEEN["seconds to unload"] = time.monotonic() - start_s
    for _ in range(5):
        yield
    SEEN["after unloading"] = snapshot()
    dock = start()
    yield
    SEEN["is shown again"] = dock.isVisible()
    ask(dock, "road, water")
    while not QgsProject.instance().mapLayersByName("road, water (demo models)"):
        yield
    yield
    SEEN["message"] = iface.messageBar().currentItem().text()
    SEEN["tree"] = [child.name() for child in QgsProject.instance().layerTreeRoot().children()]
    SEEN["workers at the end"] = workers()


class Player:
    """Plays the script step by step from QGIS's event loop, writes what it saw, and ends QGIS."""

    def __init__(self):
        self.script, self.steps = script(), 0
        self.timer = QTimer()
        self.timer.timeout.connect(self.step)
        self.timer.start(STEP_MS)

    def step(self):
        is_over = True
        try:
            self.steps += 1
            is_over = self.steps > LAST_STEP or next(self.script, self) is self
        finally:
            if is_over:
                self.timer.stop()
                Path(os.environ["RS_TEXTSEG_OBSERVED"]).write_text(json.dumps(SEEN))
                QgsProject.instance().clear()  # QGIS would ask what to do with layers in temporary folders
                QgsProject.instance().setDirty(False)
                iface.actionExit().trigger()


player = Player()
