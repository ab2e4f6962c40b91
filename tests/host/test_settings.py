from __future__ import annotations

import pytest
from qgis.core import QgsSettings

from rs_textseg_plugin.host.settings import DOCK_IS_OPEN, LAST_MODELS, LAST_TEXT, PREFIX

pytestmark = pytest.mark.usefixtures("qgis_app")


@pytest.fixture(autouse=True)
def nothing_remembered():
    QgsSettings().remove(PREFIX)
    yield
    QgsSettings().remove(PREFIX)


def test_a_value_that_was_never_written_is_the_default():
    assert LAST_MODELS.read() == "demo"
    assert DOCK_IS_OPEN.read() is False


def test_a_written_value_is_read_back_with_its_type():
    LAST_TEXT.write("road, water")
    DOCK_IS_OPEN.write(True)
    assert LAST_TEXT.read() == "road, water"
    assert DOCK_IS_OPEN.read() is True


def test_a_value_that_was_read_from_a_file_has_its_type_too():
    QgsSettings().setValue("rs_textseg/dock_is_open", "false")  # what an .ini file makes of False
    assert DOCK_IS_OPEN.read() is False


def test_everything_is_kept_under_one_prefix():
    LAST_TEXT.write("road")
    assert QgsSettings().value("rs_textseg/text") == "road"
