"""The field for what to look for: a class list or a phrase, and below it its reading, or what a list brings along."""

from __future__ import annotations

from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import (
    QButtonGroup,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QRadioButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from rs_textseg_plugin.contract.tables.pipeline_info import CLASSES, PHRASE
from rs_textseg_plugin.contract.text.word_list import WordList
from rs_textseg_plugin.gui.parts.problem_label import ProblemLabel
from rs_textseg_plugin.gui.query.word_list_button import WordListButton
from rs_textseg_plugin.gui.state.query_model import QueryModel
from rs_textseg_plugin.host.translate import tr

_TEXT_LINES = 3
_KINDS = {CLASSES: "Class list", PHRASE: "Phrase"}
_PLACEHOLDERS = {CLASSES: "building|roof, road, water", PHRASE: "the largest building near a road"}
_QUESTION = "where could a helicopter land?"  # for methods in which a language model reads the phrase
_HELP = {
    CLASSES: "A comma or a new line separates classes and | separates words for the same class. "
    "A class with - in front competes with the others and is never output. Everything that is not in the list competes "
    "too, unless the parameter closed_list says that the list is complete.",
    PHRASE: "What to look for and where it lies: largest, smallest, northernmost, ..., within 50 m of, near, inside, "
    "outside, and not before one of these.",
}
_QUESTION_HELP = "A phrase or a question in plain words."


class QuestionField(QGroupBox):
    """The group "Query" of the dock, bound to the model in both directions."""

    def __init__(self, model: QueryModel, parent: QWidget | None = None) -> None:
        super().__init__(tr("Query"), parent)
        self.setObjectName("queryGroup")
        self._model = model
        self._make_widgets()
        layout = QVBoxLayout(self)
        layout.addLayout(self._head())
        for widget in (self.text, self.reading, self.problem):
            layout.addWidget(widget)
        self._connect()

    def show_question(self) -> None:
        """Show what the model holds; a widget that already does is not touched."""
        state, question_kinds = self._model.state, self._model.pipeline.question_kinds
        self.label.setVisible(len(question_kinds) == 1)
        for kind, button in self.kinds.items():
            button.setVisible(len(question_kinds) > 1)
            button.setChecked(kind == state.kind)
        self.word_lists.setVisible(state.kind == CLASSES)
        if self.text.toPlainText() != state.question:
            self.text.setPlainText(state.question)
        is_free = question_kinds == (PHRASE,)
        self.text.setPlaceholderText(_QUESTION if is_free else _PLACEHOLDERS[state.kind])
        self.text.setToolTip(tr(_QUESTION_HELP if is_free else _HELP[state.kind]))
        reading = self._model.reading
        self.reading.setText(reading)
        self.reading.setVisible(bool(reading))
        self.problem.show_problem(self._model.problems.text)

    def _make_widgets(self) -> None:
        self.label = QLabel(tr("What to look for"), self)
        self.kinds = {kind: QRadioButton(tr(title), self) for kind, title in _KINDS.items()}
        for kind, button in self.kinds.items():
            button.setObjectName(f"ask_{kind}")
            button.setToolTip(tr(_HELP[kind]))
        self.word_lists = WordListButton(lambda: self._model.state.text, self)
        self.text = QPlainTextEdit(self)
        self.text.setObjectName("text")
        self.text.setAccessibleName(self.label.text())
        self.text.setTabChangesFocus(True)
        self.text.setFixedHeight(self.text.fontMetrics().lineSpacing() * _TEXT_LINES + 14)
        self.label.setBuddy(self.text)
        self.reading = _quiet_label("reading")
        self.problem = ProblemLabel("textProblem")

    def _head(self) -> QHBoxLayout:
        group, head = QButtonGroup(self), QHBoxLayout()
        head.addWidget(self.label)
        for button in self.kinds.values():
            group.addButton(button)
            head.addWidget(button)
        head.addStretch(1)
        head.addWidget(self.word_lists)
        return head

    def _connect(self) -> None:
        self.text.textChanged.connect(self._take_text)
        for kind, button in self.kinds.items():
            button.clicked.connect(lambda _, kind=kind: self._model.update(question_kind=kind))
        self.word_lists.picked.connect(self._take_list)
        self.word_lists.refused.connect(self._model.refused)

    def _take_text(self) -> None:
        text = self.text.toPlainText()
        self._model.update(**({"phrase": text} if self._model.state.kind == PHRASE else {"text": text}))

    def _take_list(self, entry: WordList) -> None:
        self._model.update(text=entry.text, word_list=entry, question_kind=CLASSES)


def _quiet_label(name: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    font = label.font()
    font.setItalic(True)
    label.setFont(font)
    return label
