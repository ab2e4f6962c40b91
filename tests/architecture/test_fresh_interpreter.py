"""What a new process really loads, whatever the source says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import rs_textseg_plugin
from stage import PACKAGE, ROOT

STAGED = Path(rs_textseg_plugin.__file__).parent.parent
HEAVY = {
    "torch",
    "torchvision",
    "rasterio",
    "transformers",
    "open_clip",
    "segment_anything",
    "shapely",
    "scipy",
    "skimage",
    "pyogrio",
    "pyproj",
}


def loaded_after(statements: str) -> set[str]:
    """Return the names of all modules that a new interpreter has loaded after the statements."""
    code = f"import sys\nsys.path.insert(0, {str(STAGED)!r})\n{statements}\nprint('\\n'.join(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def modules_on_the_side_of_qgis() -> list[str]:
    paths = [path.relative_to(ROOT).with_suffix("") for path in sorted((ROOT / PACKAGE).rglob("*.py"))]
    return [".".join(path.parts) for path in paths if path.parts[1] != "engine" and path.name != "__init__"]


def test_the_package_alone_loads_nothing_beside_itself():
    before = loaded_after("")
    assert loaded_after("import rs_textseg_plugin") - before == {"rs_textseg_plugin", "__future__"}


def test_what_qgis_loads_brings_no_heavy_package():
    names = modules_on_the_side_of_qgis()
    assert "rs_textseg_plugin.plugin" in names
    loaded = loaded_after("import " + ", ".join(names))
    assert set(names) <= loaded
    assert loaded & HEAVY == set()


def test_a_heavy_package_would_be_seen():
    assert loaded_after("import scipy") & HEAVY == {"scipy"}


def test_the_engine_starts_without_qgis():
    loaded = loaded_after("import rs_textseg_plugin.engine.__main__")
    assert "rs_textseg_plugin.engine.__main__" in loaded
    assert {name for name in loaded if name.split(".")[0] in ("qgis", "PyQt5", "PyQt6", "sip")} == set()


def test_threads_of_the_engine_sleep_while_they_wait_unless_the_user_wants_otherwise():
    ask = "import rs_textseg_plugin.engine, os; sys.modules[os.environ['OMP_WAIT_POLICY']] = None"
    assert "PASSIVE" in loaded_after(f"import os; os.environ.pop('OMP_WAIT_POLICY', None); {ask}")
    assert "ACTIVE" in loaded_after(f"import os; os.environ['OMP_WAIT_POLICY'] = 'ACTIVE'; {ask}")
