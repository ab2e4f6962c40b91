from __future__ import annotations

import pytest
from qgis.core import Qgis, QgsApplication
from qgis.gui import QgsDockWidget, QgsMessageBar, QgsMessageLogViewer
from qgis.PyQt.QtWidgets import QMainWindow, QPushButton, QTabWidget

from rs_textseg_plugin.contract.events import Failed
from rs_textseg_plugin.gui.messages import Messages


class Window:
    """The parts of QGIS's interface that messages need, all of them real: message bar, log panel, main window."""

    def __init__(self):
        self.main_window, self.bar = QMainWindow(), QgsMessageBar()
        self.log_panel = QgsDockWidget("Log", self.main_window)
        self.log_panel.setObjectName("MessageLog")
        self.log_panel.setWidget(QgsMessageLogViewer(self.main_window))
        self.log_panel.hide()

    def mainWindow(self):
        return self.main_window

    def messageBar(self):
        return self.bar

    def openMessageLog(self):
        self.log_panel.show()

    def open_tab(self):
        tabs = self.log_panel.findChild(QTabWidget)
        return tabs.tabText(tabs.currentIndex())


@pytest.fixture
def window(qtbot, qgis_app):
    window = Window()
    qtbot.addWidget(window.main_window)
    qtbot.addWidget(window.bar)
    return window


@pytest.fixture
def logged(qgis_app):
    lines = []
    log = QgsApplication.messageLog()
    # The bar itself logs what it shows under the tag "Messages".
    log.messageReceived.connect(lambda text, tag, level: tag == "RS TextSeg" and lines.append((text, level)))
    return lines


def test_a_failure_stays_in_the_bar_and_its_details_are_in_the_log(window, logged):
    Messages(window).failure(Failed("EngineCrashed", "It ended.\nMore.", "Traceback"))
    item = window.bar.currentItem()
    assert item.text() == "It ended."
    assert item.level() == Qgis.MessageLevel.Critical
    assert item.duration() == 0
    assert logged == [("It ended.\nMore.\nTraceback", Qgis.MessageLevel.Critical)]


def test_a_run_that_the_user_stopped_is_no_failure(window, logged):
    Messages(window).failure(Failed("Cancelled", "The run was cancelled."))
    assert window.bar.currentItem().level() == Qgis.MessageLevel.Info
    assert logged == []


def test_a_warning_is_shown_and_logged_and_a_success_only_shown(window, logged):
    messages = Messages(window)
    messages.warning("The CPU was used.")
    messages.success("Done.")
    levels = {item.text(): item.level() for item in window.bar.items()}
    assert levels == {"The CPU was used.": Qgis.MessageLevel.Warning, "Done.": Qgis.MessageLevel.Success}
    assert logged == [("The CPU was used.", Qgis.MessageLevel.Warning)]


def test_a_note_is_only_logged(window, logged):
    Messages(window).note("The CPU was used.")
    assert window.bar.items() == []
    assert logged == [("The CPU was used.", Qgis.MessageLevel.Warning)]


def test_the_button_opens_the_log_at_the_tab_of_the_plugin(window):
    messages = Messages(window)
    messages.warning("The CPU was used.")
    QgsApplication.messageLog().logMessage("noise", "Another plugin", Qgis.MessageLevel.Info)
    button = window.bar.currentItem().findChild(QPushButton)
    assert button.text() == "Open Log"
    tabs = window.log_panel.findChild(QTabWidget)
    tabs.setCurrentIndex(tabs.count() - 1)
    assert window.open_tab() == "Another plugin"
    button.click()
    assert not window.log_panel.isHidden()
    assert window.open_tab() == "RS TextSeg"
