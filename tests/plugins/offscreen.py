"""Loaded by pytest before pytest-qgis starts QGIS: no display is needed, and no authentication store of a user."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # Qt draws into memory

_store = tempfile.mkdtemp(prefix="qgis_auth_")
atexit.register(shutil.rmtree, _store, ignore_errors=True)
os.environ["QGIS_AUTH_DB_DIR_PATH"] = _store
