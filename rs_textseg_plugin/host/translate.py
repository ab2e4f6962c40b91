"""Texts that the user reads, in the user's language."""

from __future__ import annotations

from qgis.PyQt.QtCore import QCoreApplication

CONTEXT = "RsTextSeg"


def tr(text: str) -> str:
    """Return the translation of an English text, or the text itself where there is none."""
    return str(QCoreApplication.translate(CONTEXT, text))
