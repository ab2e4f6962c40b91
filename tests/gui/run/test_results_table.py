from __future__ import annotations

import pytest

from rs_textseg_plugin.contract.events import ClassSummary
from rs_textseg_plugin.gui.run.results_table import ResultsTable

pytestmark = pytest.mark.usefixtures("qgis_app")


def test_each_class_is_a_row_with_its_colour_and_numbers(qtbot):
    table = ResultsTable()
    qtbot.addWidget(table)
    table.show_classes(
        [ClassSummary("road", "#ff0000", 3, 1500.0, 0.756), ClassSummary("water", "#0000ff", 0, 0.0, 0.0)]
    )
    texts = [[table.item(row, column).text() for column in range(4)] for row in range(table.rowCount())]
    assert texts == [["road", "3", "1500 m²", "0.76"], ["water", "0", "", ""]]
    swatch = table.item(0, 0).icon().pixmap(12, 12).toImage()
    assert swatch.pixelColor(6, 6).name() == "#ff0000"


def test_a_second_result_replaces_the_first(qtbot):
    table = ResultsTable()
    qtbot.addWidget(table)
    table.show_classes([ClassSummary("road", "#ff0000", 3, 1500.0, 0.7), ClassSummary("water", "#0000ff", 1, 1.0, 0.7)])
    table.show_classes([ClassSummary("tree", "#00ff00", 1, 5.0, 0.5)])
    assert table.rowCount() == 1
    assert table.item(0, 0).text() == "tree"


def test_a_name_that_is_cut_off_can_be_read_and_the_score_is_explained(qtbot):
    table = ResultsTable()
    qtbot.addWidget(table)
    table.show_classes([ClassSummary("a very long name of a class", "#ff0000", 1, 2.0, 0.5)])
    assert table.item(0, 0).toolTip() == "a very long name of a class"
    assert "weighted by their area" in table.horizontalHeaderItem(3).toolTip()
