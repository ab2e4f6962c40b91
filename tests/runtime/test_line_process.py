from __future__ import annotations

import os
import sys
from pathlib import Path

from rs_textseg_plugin.runtime.line_process import LineProcess
from rs_textseg_plugin.runtime.log_tail import LogTail

MAKES_A_FILE = """
import tempfile, time
folder = tempfile.mkdtemp()
print(folder, flush=True)
time.sleep(60)
"""


def test_temporary_files_of_a_killed_child_are_removed(tmp_path):
    process = LineProcess([sys.executable, "-c", MAKES_A_FILE], tmp_path, dict(os.environ), LogTail())
    folder = Path(str(process.read()).strip())
    assert folder.is_dir()
    process.kill()
    assert process.join(10)
    assert not folder.exists()
