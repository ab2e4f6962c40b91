"""The self-test in a process of its own, as the installer runs it."""

from __future__ import annotations

import os
import subprocess
import sys

from rs_textseg_plugin.contract.folders import PACKAGE_FOLDER
from rs_textseg_plugin.runtime.child_environment import worker_environment


def test_an_environment_that_has_everything_segments_the_sample_scene_and_says_on_what():
    command = [
        sys.executable,
        "-X",
        "utf8",
        "-E",
        "-s",
        "-m",
        "rs_textseg_plugin.engine",
        "self-test",
        "--device",
        "cpu",
    ]
    done = subprocess.run(
        command,
        cwd=PACKAGE_FOLDER.parent,
        env=worker_environment(os.environ),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("It was tested with the sample scene, on CPU with ")
