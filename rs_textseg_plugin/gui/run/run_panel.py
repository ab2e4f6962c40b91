"""The part of the dock that starts, stops and shows runs."""

from __future__ import annotations

from collections.abc import Sequence

from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QGroupBox, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from rs_textseg_plugin.contract.events import Finished
from rs_textseg_plugin.gui.parts.problem_label import ProblemLabel
from rs_textseg_plugin.gui.parts.words import answers_in_words, counts_in_words, progress_in_words, result_in_words
from rs_textseg_plugin.gui.run.results_table import ResultsTable
from rs_textseg_plugin.gui.run.scrolled_words import ScrolledWords
from rs_textseg_plugin.gui.state.query_model import QueryModel
from rs_textseg_plugin.host.translate import tr


class RunPanel(QWidget):
    """Run and Cancel, how far the run is, and a table of what it found."""

    def __init__(self, model: QueryModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._make_widgets()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._results_group())
        layout.addWidget(self.failure)
        layout.addWidget(self.bar)
        layout.addWidget(self.status)
        layout.addWidget(self.counts)
        layout.addLayout(self._buttons())
        self.run.clicked.connect(model.submit)
        self.draw_again.clicked.connect(model.draw_again)
        self.cancel.clicked.connect(model.cancel)
        model.changed.connect(self._show)
        self._show()

    def _make_widgets(self) -> None:
        self.results = ResultsTable(self)
        self.result_words = _label("resultWords")
        self.notes = _label("notes")
        self.answers = _label("answers")
        self.failure = ProblemLabel("failure", self)
        self.bar = QProgressBar(self)
        self.bar.setObjectName("progress")
        self.status = _label("status")
        self.counts = _label("counts")
        self.draw_again = QPushButton(tr("Draw Again"), self)
        self.draw_again.setObjectName("drawAgain")
        self.draw_again.setToolTip(tr("Draw the boxes and points of the answer as they are now, without asking again"))
        self.run = QPushButton(tr("Run"), self)
        self.run.setObjectName("run")
        self.run.setToolTip(tr("Segment the raster (Ctrl+Return)"))
        self.cancel = QPushButton(tr("Cancel"), self)
        self.cancel.setObjectName("cancel")
        self.cancel.setToolTip(tr("Stop the run (Esc)"))

    def _results_group(self) -> QGroupBox:
        self.results_group = QGroupBox(tr("Result"), self)
        self.results_group.setObjectName("resultsGroup")
        layout = QVBoxLayout(self.results_group)
        self.words = ScrolledWords((self.result_words, self.answers, self.notes), self)
        layout.addWidget(self.results)
        layout.addWidget(self.words)
        return self.results_group

    def _buttons(self) -> QHBoxLayout:
        layout = QHBoxLayout()
        layout.addWidget(self.draw_again)
        layout.addStretch(1)
        layout.addWidget(self.run)
        layout.addWidget(self.cancel)
        return layout

    def _show(self) -> None:
        run = self._model.run
        self.run.setEnabled(self._model.can_run)
        self.cancel.setEnabled(self._model.can_cancel)
        self.draw_again.setVisible(self._model.can_draw_again)
        for widget in (self.bar, self.status):
            widget.setVisible(run.is_running)
        self._show_progress()
        self.failure.show_problem(run.failed.message if run.failed else "")
        self.results_group.setVisible(run.finished is not None)
        if run.finished is not None:
            self._show_result(run.finished, run.answers)

    def _show_progress(self) -> None:
        run = self._model.run
        # A range of 0 to 0 makes the bar run to and fro: nothing is known yet.
        self.bar.setRange(0, 100 if run.progress else 0)
        self.bar.setValue(round(100 * run.progress.fraction) if run.progress else 0)
        words = progress_in_words(run.progress) if run.progress else tr("Starting the engine")
        self.status.setText(tr("Stopping") if run.is_stopping else words)
        counts = counts_in_words(run.counts)
        self.counts.setText(counts)
        self.counts.setVisible(bool(counts))

    def _show_result(self, finished: Finished, answers: Sequence[str]) -> None:
        self.results.show_classes(finished.classes)
        self.result_words.setText(result_in_words(finished))
        self.answers.setText(answers_in_words(answers))
        self.answers.setVisible(bool(answers))
        self.notes.setText("\n".join(finished.notes))
        self.notes.setVisible(bool(finished.notes))
        self.words.fit()


def _label(name: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    return label
