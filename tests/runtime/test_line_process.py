from __future__ import annotations

import os
import sys
from pathlib import Path

from rs_textseg_plugin.runtime.line_process import LineProcess, is_translated, natively, output_of
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


def test_the_output_of_a_program_is_returned_and_nothing_of_one_that_fails_or_hangs_or_is_not_there():
    def output(code, timeout_s=20.0):
        return output_of([sys.executable, "-c", code], dict(os.environ), timeout_s)

    assert output("print('a'); print('b')") == "a\nb"
    assert output("print('a'); raise SystemExit(1)") == ""
    assert output("import time; print('a', flush=True); time.sleep(60)", 1.0) == ""
    assert output_of(["/no/program"], {}, 5.0) == ""


def test_a_process_that_apple_silicon_translates_starts_native_children(monkeypatch):
    assert natively(["python", "-c", ""], is_translated=True) == ["/usr/bin/arch", "-arm64", "python", "-c", ""]
    assert natively(["python"], is_translated=False) == ["python"]
    kernel = "Darwin Kernel Version 24.0.0: root:xnu-11215.1.10~2/RELEASE_ARM64_T6000"
    monkeypatch.setattr("sys.platform", "darwin")
    for machine, version, translated in (
        ("x86_64", kernel, True),
        ("arm64", kernel, False),
        ("x86_64", "X86_64", False),
    ):
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        monkeypatch.setattr("os.uname", lambda version=version: os.uname_result(("Darwin", "", "", version, "")))
        assert is_translated() == translated
