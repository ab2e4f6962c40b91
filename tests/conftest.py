"""What is tested is what ships: the package is imported from a staged tree, as in the zip and in QGIS's profile."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

from stage import stage

SESSION_FOLDER = Path(tempfile.mkdtemp(prefix="rs_textseg_tests_"))
atexit.register(shutil.rmtree, SESSION_FOLDER, ignore_errors=True)

# Before any test module is imported, so that every import of the package finds the staged tree.
sys.path.insert(0, str(stage(SESSION_FOLDER / "staged", link=True).parent))

# No user's folders, and the engine in the interpreter that runs the tests.
os.environ.setdefault("RS_TEXTSEG_ENGINE_PYTHON", sys.executable)
os.environ["RS_TEXTSEG_MODELS"] = str(SESSION_FOLDER / "models")
