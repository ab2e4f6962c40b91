"""Which Python runs the engine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rs_textseg_plugin.contract.errors import EngineUnavailable
from rs_textseg_plugin.contract.folders import PACKAGE_FOLDER, data_home, package_file

INTERPRETER_VARIABLE = "RS_TEXTSEG_ENGINE_PYTHON"


def find_interpreter() -> Path:
    """Return the Python of the engine's environment.

    The first of: the environment variable ``RS_TEXTSEG_ENGINE_PYTHON``; the private environment in the user's
    data folder. Never ``sys.executable``, which inside QGIS can be QGIS itself.

    Raises:
        EngineUnavailable: there is none; the message says how to make one.
    """
    named = os.environ.get(INTERPRETER_VARIABLE, "")
    if named and not Path(named).is_file():
        raise EngineUnavailable(
            f"The environment variable {INTERPRETER_VARIABLE} names {named!r}, which is no file: "
            "set it to the Python interpreter of the engine's environment, or remove it."
        )
    interpreter = Path(named) if named else interpreter_in(private_environment())
    if not interpreter.is_file():
        raise EngineUnavailable(how_to_install())
    return interpreter


def private_environment() -> Path:
    """Return the folder of the product's own Python environment; it may not exist yet."""
    return data_home() / "engine-env"


def interpreter_in(environment: Path) -> Path:
    """Return the path of Python inside a virtual environment on this system."""
    return environment / "Scripts" / "python.exe" if sys.platform == "win32" else environment / "bin" / "python"


def requirements_file() -> Path:
    """Return the list of packages that the engine's environment needs."""
    return package_file("requirements.txt")


def how_to_install() -> str:
    """Return the command that installs the engine, the same for every shell, and the other way, in words."""
    python = "py -3" if sys.platform == "win32" else "python3"
    return (
        "The engine is not installed. Install it with this command in a terminal, then run again:\n"
        f'{python} "{PACKAGE_FOLDER / "runtime"}" install\n'
        f"Or set the environment variable {INTERPRETER_VARIABLE} to a Python that has the packages of "
        f"{requirements_file()}."
    )
