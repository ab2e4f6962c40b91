"""Loaded by pytest before pytest-qgis starts QGIS: without a display Qt draws into memory."""

from __future__ import annotations

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
