from __future__ import annotations

import os
import sys
import threading
import time

import pytest

from rs_textseg_plugin.contract.errors import Cancelled, EngineError, EngineUnavailable
from rs_textseg_plugin.runtime.install.child_run import ChildRun, folder_bytes
from rs_textseg_plugin.runtime.install.turn import Turn

GROWS = "import time\nfor i in range(25):\n open(f'{i}.bin', 'wb').write(bytes(1000))\n time.sleep(0.1)\n"


@pytest.fixture
def make_child(tmp_path):
    def make(grown=lambda size: None, should_stop=lambda: False, silence_s=20.0):
        return ChildRun(os.environ, tmp_path, tmp_path, tmp_path, grown, should_stop, silence_s)

    return make


def python(code):
    return [sys.executable, "-c", code]


def test_a_program_is_run_to_its_end_and_its_words_are_kept(make_child):
    child = make_child()
    assert child.run(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")) == 3
    assert {"out", "err"} <= set(str(child.log).splitlines())


def test_a_program_may_be_quiet_as_long_as_its_folder_grows(make_child):
    sizes = []
    assert make_child(sizes.append, silence_s=1.6).run(python(GROWS)) == 0
    assert len(sizes) >= 2
    assert sizes == sorted(sizes)


def test_a_program_that_stands_still_is_ended_in_words(make_child):
    start_s = time.monotonic()
    with pytest.raises(EngineError, match="stood still for 1 s"):
        make_child(silence_s=1.0).run(python("import time; time.sleep(60)"))
    assert time.monotonic() - start_s < 20


def test_a_user_who_gives_up_ends_the_program(make_child, tmp_path):
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Cancelled, match="what was downloaded is kept"):
        make_child(should_stop=stop.is_set).run(
            python(f"import time; time.sleep(5); open({str(tmp_path / 'late')!r}, 'w')")
        )
    time.sleep(0.2)
    assert not (tmp_path / "late").exists()


def test_a_program_that_is_not_there_is_named(make_child):
    with pytest.raises(EngineError, match="'/no/program' cannot be started"):
        make_child().run(["/no/program"])


def test_the_bytes_of_a_folder_are_those_of_its_files(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_bytes(bytes(1000))
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert 1000 <= folder_bytes(tmp_path) < 1200


HOLDS = """
import sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from rs_textseg_plugin.runtime.install.turn import Turn
with Turn(Path(sys.argv[1])):
    print("mine", flush=True)
    time.sleep(60)
"""


def test_two_do_not_install_at_once_and_one_that_is_killed_gives_up_its_turn(tmp_path):
    import subprocess

    from rs_textseg_plugin.contract.folders import PACKAGE_FOLDER

    lock = tmp_path / "engine.lock"
    other = subprocess.Popen([sys.executable, "-c", HOLDS, lock, str(PACKAGE_FOLDER.parent)], stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"mine\n"
    with pytest.raises(EngineUnavailable, match="another QGIS"), Turn(lock):
        pass
    other.kill()
    other.wait()
    with Turn(lock), pytest.raises(EngineUnavailable), Turn(lock):
        pass
