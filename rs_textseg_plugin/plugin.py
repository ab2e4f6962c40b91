"""The composition root: what QGIS loads, and what it takes away again."""

from __future__ import annotations

from qgis.core import QgsApplication, QgsCoordinateReferenceSystem, QgsProject, QgsRectangle
from qgis.gui import QgisInterface
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QDesktopServices

from rs_textseg_plugin.algorithms.provider import RsTextSegProvider
from rs_textseg_plugin.contract.errors import InputError
from rs_textseg_plugin.contract.events import Finished
from rs_textseg_plugin.contract.request import Request
from rs_textseg_plugin.gui.dock import RsTextSegDock
from rs_textseg_plugin.gui.messages import Messages
from rs_textseg_plugin.gui.parts.qt import QAction
from rs_textseg_plugin.gui.parts.words import found_in_words
from rs_textseg_plugin.gui.query.area_tool import AreaTool
from rs_textseg_plugin.gui.state.query_model import QueryModel
from rs_textseg_plugin.host.help_page import help_url
from rs_textseg_plugin.host.icons import plugin_icon
from rs_textseg_plugin.host.layers.click_layers import add_click_layers, read_answers
from rs_textseg_plugin.host.layers.result_layers import add_rasters, add_result
from rs_textseg_plugin.host.query_runner import QueryRunner
from rs_textseg_plugin.host.server.endpoint_key import KeyHolder, key_for
from rs_textseg_plugin.host.server.proxy import proxy_variables
from rs_textseg_plugin.host.settings import DOCK_IS_OPEN
from rs_textseg_plugin.host.translate import tr
from rs_textseg_plugin.runtime.session import EngineSession

MENU = "RS TextSeg"


class RsTextSegPlugin:
    """Builds the parts and wires them; all of them share one engine.

    Args:
        iface: QGIS's interface; None in qgis_process, which calls `initProcessing` only.
    """

    def __init__(self, iface: QgisInterface | None) -> None:
        self._iface = iface
        self._keys = KeyHolder()
        self._engine = EngineSession(keep_warm=iface is not None, api_key=self._keys, proxies=proxy_variables)
        self._provider: RsTextSegProvider | None = None
        self._window: _Window | None = None

    def initProcessing(self) -> None:  # noqa: N802 (QGIS's name)
        """Offer the algorithms."""
        self._provider = RsTextSegProvider(self._engine, self._keys)
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self) -> None:  # noqa: N802 (QGIS's name)
        """Offer the dock, its button and its menu entry, and the algorithms."""
        self.initProcessing()
        if self._iface is not None:
            self._window = _Window(self._iface, self._engine, self._keys)

    def unload(self) -> None:
        """Undo all of it, in reverse."""
        if self._window is not None:
            self._window.take_away()
            self._window = None
        if self._provider is not None:
            QgsApplication.processingRegistry().removeProvider(self._provider)
            self._provider = None
        self._engine.close()


class _Window:
    """What the plugin adds to QGIS's main window."""

    def __init__(self, iface: QgisInterface, engine: EngineSession, keys: KeyHolder) -> None:
        self._iface, self._engine = iface, engine
        self._messages = Messages(iface)
        self._runner = QueryRunner(engine, QgsApplication.taskManager(), keys)
        self._model = QueryModel(QgsProject.instance(), self._canvas_view)
        self._area = AreaTool(iface.mapCanvas(), self._model)
        self._connect()
        self._action = self._make_action()
        iface.addToolBarIcon(self._action)
        iface.addPluginToRasterMenu(MENU, self._action)
        self._help = self._make_help_action()
        iface.addPluginToRasterMenu(MENU, self._help)
        iface.pluginHelpMenu().addAction(self._help)
        self._dock = RsTextSegDock(self._model, iface.mainWindow())
        self._dock.setToggleVisibilityAction(self._action)
        iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self._dock)
        self._dock.setVisible(DOCK_IS_OPEN.read())
        iface.currentLayerChanged.connect(self._dock.follow_active_layer)

    def take_away(self) -> None:
        """Undo the constructor in reverse; a run under way is stopped."""
        DOCK_IS_OPEN.write(self._action.isChecked())
        self._iface.currentLayerChanged.disconnect(self._dock.follow_active_layer)
        self._iface.removeDockWidget(self._dock)
        self._dock.deleteLater()
        self._iface.pluginHelpMenu().removeAction(self._help)
        self._iface.removePluginRasterMenu(MENU, self._help)
        self._help.deleteLater()
        self._iface.removePluginRasterMenu(MENU, self._action)
        self._iface.removeToolBarIcon(self._action)
        self._action.deleteLater()
        self._area.take_away()
        self._model.deleteLater()
        self._engine.close()  # before the task is waited for: a tile can take minutes
        self._runner.shut_down()
        self._runner.deleteLater()

    def _make_action(self) -> QAction:
        action = QAction(plugin_icon(), tr("RS TextSeg Panel"), self._iface.mainWindow())
        action.setObjectName("rsTextSegToggleDock")
        action.setCheckable(True)
        action.setToolTip(tr("Segment imagery by text"))
        action.setStatusTip(tr("Open or close the panel that segments imagery by text"))
        return action

    def _make_help_action(self) -> QAction:
        action = QAction(plugin_icon(), tr("RS TextSeg Help"), self._iface.mainWindow())
        action.setObjectName("rsTextSegHelp")
        action.triggered.connect(lambda _: QDesktopServices.openUrl(help_url()))
        return action

    def _connect(self) -> None:
        model, runner = self._model, self._runner
        model.submitted.connect(self._start)
        model.cancel_wanted.connect(runner.cancel)
        model.refused.connect(self._messages.warning)
        runner.started.connect(lambda _: model.take_start())
        runner.progressed.connect(model.take_progress)
        runner.found.connect(model.take_found)
        runner.warned.connect(self._messages.note)
        runner.completed.connect(self._show_result)
        runner.failed.connect(model.take_failed)
        runner.failed.connect(self._messages.failure)

    def _canvas_view(self) -> tuple[QgsRectangle, QgsCoordinateReferenceSystem]:
        canvas = self._iface.mapCanvas()
        return canvas.extent(), canvas.mapSettings().destinationCrs()

    def _start(self, request: Request) -> None:
        try:
            key = key_for(request, self._model.state.vlm.authcfg)
        except InputError as error:
            self._messages.warning(str(error))
            return
        self._runner.start(request, key)

    def _show_result(self, finished: Finished, request: Request) -> None:
        self._model.take_finished(finished)
        project, has_found = QgsProject.instance(), any(row.count for row in finished.classes)
        try:
            if has_found:
                add_result(project, finished, request)
            add_rasters(project, finished, request)
            self._show_answer(finished, request)
        except InputError as error:
            self._messages.warning(str(error))
            return
        (self._messages.success if has_found else self._messages.warning)(found_in_words(finished))

    def _show_answer(self, finished: Finished, request: Request) -> None:
        """Show what a vision-language model answered, in layers that can be edited and drawn again."""
        if finished.clicks:
            layers = add_click_layers(QgsProject.instance(), finished.clicks, request.query.text)
            self._model.take_answer(request, layers, read_answers(finished.clicks))
