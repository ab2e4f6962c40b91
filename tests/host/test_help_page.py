from __future__ import annotations

from pathlib import Path

from rs_textseg_plugin.algorithms.segment_by_text import SegmentByText
from rs_textseg_plugin.host.help_page import help_url


def test_help_is_a_page_that_comes_with_the_plugin(qgis_app):
    page = Path(help_url().toLocalFile())
    assert "<h1>RS TextSeg</h1>" in page.read_text(encoding="utf-8")


def test_processing_opens_the_same_page(qgis_app):
    address = SegmentByText(None, None).helpUrl()
    assert address == help_url().toString()
    assert address.startswith("file://")
