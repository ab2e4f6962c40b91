"""A button with a menu of class lists under a name: take one, save the typed one, remove one of one's own."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Callable, Optional, TypeVar

from qgis.gui import QgsNewNameDialog
from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtWidgets import QMenu, QMessageBox, QToolButton, QWidget

from rs_textseg_plugin.contract.errors import TextSegError
from rs_textseg_plugin.contract.text.word_list import WordList, known_word_lists, remove_word_list, save_word_list
from rs_textseg_plugin.host.translate import tr

T = TypeVar("T")


class WordListButton(QToolButton):
    """Its menu is made anew whenever it opens: lists are files that may have changed.

    Args:
        typed: returns the class list as it is typed.

    Signals:
        picked: `WordList`.
        refused: a sentence; a list could not be read, saved or removed.
    """

    picked = pyqtSignal(object)
    refused = pyqtSignal(str)

    def __init__(self, typed: Callable[[], str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._typed = typed
        self._last_name = ""
        self.setObjectName("wordLists")
        self.setText(tr("Class Lists"))
        self.setToolTip(tr("Take a published class list or one of your own, or save the one that is typed"))
        self.setAutoRaise(True)
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        menu.aboutToShow.connect(self.fill_menu)
        self.setMenu(menu)

    def fill_menu(self) -> None:
        """List one's own lists, the published ones, and what can be done."""
        menu = self.menu()
        menu.clear()
        lists = self._lists()
        own = [entry for entry in lists if entry.is_own]
        self._add_lists(menu, own)
        self._add_lists(menu.addMenu(tr("Published Lists")), (entry for entry in lists if not entry.is_own))
        menu.addSeparator()
        menu.addAction(tr("Save as…")).triggered.connect(lambda _: self.ask_and_save())
        removing = menu.addMenu(tr("Remove"))
        removing.setEnabled(bool(own))
        for entry in own:
            removing.addAction(entry.name).triggered.connect(partial(self._ask_and_remove, entry.name))

    def ask_and_save(self) -> None:
        """Ask for a name and save the typed list under it."""
        own = [entry.name for entry in self._lists() if entry.is_own]
        dialog = QgsNewNameDialog(initial=self._last_name, existing=own, parent=self)
        dialog.setWindowTitle(tr("Save Class List"))
        dialog.setHintString(tr("Name of the class list"))
        dialog.setConflictingNameWarning(tr("There is a list of yours with this name already."))
        if dialog.exec():
            self._try(lambda: save_word_list(dialog.name().strip(), self._typed(), replace=True))
            self._last_name = dialog.name().strip()

    def _add_lists(self, menu: QMenu, lists: Iterable[WordList]) -> None:
        for entry in lists:
            action = menu.addAction(entry.name)
            action.setToolTip(f"<p>{entry.about}</p><p>{entry.text}</p>")
            action.triggered.connect(partial(self._pick, entry))

    def _pick(self, entry: WordList, _: bool = False) -> None:
        self._last_name = entry.name
        self.picked.emit(entry)

    def _ask_and_remove(self, name: str, _: bool = False) -> None:
        answer = QMessageBox.question(self, tr("Remove Class List"), tr("Remove your class list {!r}?").format(name))
        if answer == QMessageBox.StandardButton.Yes:
            self._try(lambda: remove_word_list(name))

    def _lists(self) -> list[WordList]:
        return self._try(known_word_lists) or []

    def _try(self, act: Callable[[], T]) -> Optional[T]:
        try:
            return act()
        except TextSegError as error:
            self.refused.emit(str(error))
            return None
