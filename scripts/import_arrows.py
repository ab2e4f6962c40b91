#!/usr/bin/env python3
"""Reads every import of the package, those inside functions too, and tells which point the wrong way.

scripts/import_arrows.py [PACKAGE_FOLDER] [--list]

A ring is a folder of the package. A room is a folder inside a ring, or one of the engine's modules that stand alone.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "rs_textseg_plugin"
STANDARD_LIBRARY = tuple(sorted({*sys.stdlib_module_names, "__future__"}))


@dataclass(frozen=True)
class Rule:
    """What a ring may import.

    Attributes:
        rings: the rings of ours, itself included.
        packages: prefixes of modules outside the package; empty: any.
        never: prefixes that are wrong even so.
    """

    rings: tuple[str, ...]
    packages: tuple[str, ...]
    never: tuple[str, ...] = ()


QGIS_AND_QT = ("qgis", "PyQt4", "PyQt5", "PyQt6", "PySide2", "PySide6", "processing", "osgeo", "sip")
HOST_PACKAGES = (*STANDARD_LIBRARY, "qgis.core", "qgis.PyQt.QtCore", "qgis.PyQt.QtGui")
RULES = {
    "contract": Rule(("contract",), STANDARD_LIBRARY),
    "engine": Rule(("contract", "engine"), (), never=QGIS_AND_QT),
    "runtime": Rule(("contract", "runtime"), STANDARD_LIBRARY),
    "host": Rule(("contract", "runtime", "host"), HOST_PACKAGES),
    "gui": Rule(("contract", "host", "gui"), (*STANDARD_LIBRARY, "qgis")),
    "algorithms": Rule(("contract", "runtime", "host", "algorithms"), (*STANDARD_LIBRARY, "qgis.core", "qgis.PyQt")),
    "plugin": Rule(("contract", "runtime", "host", "gui", "algorithms", "plugin"), (*STANDARD_LIBRARY, "qgis")),
    "__init__": Rule(("plugin",), ("__future__", "qgis")),
}
RING_ITSELF = ""  # the room of modules that lie directly in a ring's folder; it counts as one with its subfolders
# What each room may import of its own ring, beside itself.
ROOMS: dict[str, dict[str, tuple[str, ...]]] = {
    "contract": {
        RING_ITSELF: ("pipelines", "server", "tables"),
        "pipelines": (RING_ITSELF, "tables"),
        "tables": (RING_ITSELF,),
        "server": (RING_ITSELF,),
        "text": (RING_ITSELF, "server", "tables"),
    },
    "engine": {
        "__init__": (),
        "__main__": ("cli", "worker"),
        "cli": ("service", "worker", "loading"),
        "worker": ("service",),
        "service": ("job", "pipelines", "loading", "raster", "compute", "disk"),
        "job": ("pipelines", "results", "mosaic", "clip", "loading", "vlm", "answers", "raster", "compute", "disk"),
        "pipelines": ("loading", "vlm", "sam", "clip", "models", "answers", "raster", "compute"),
        "results": ("mosaic", "answers", "raster", "compute", "disk"),
        "mosaic": ("answers", "disk"),
        "loading": ("vlm", "models"),
        "vlm": ("sam", "models", "compute"),
        "sam": ("models", "answers", "compute"),
        "clip": ("models", "answers", "compute"),
        "models": ("compute",),
        "answers": (),
        "raster": (),
        "compute": (),
        "disk": (),
    },
    "host": {RING_ITSELF: ("server",), "layers": (RING_ITSELF,), "server": (RING_ITSELF,)},
    "gui": {
        RING_ITSELF: ("query", "run", "vlm", "state", "parts"),
        "query": ("vlm", "state", "parts"),
        "run": ("state", "parts"),
        "vlm": ("state", "parts"),
        "state": ("parts",),
        "parts": (),
    },
}
LATE_ENGINE_IMPORTS = "runtime/in_process.py"  # the only module that may import the engine, and only in a function


@dataclass(frozen=True)
class Import:
    """One imported name, where it stands, and how.

    Attributes:
        module: dotted name, with the imported name as its last part where it was ``from a import b``;
            begins with a dot where the import is relative.
        line: 1-based line.
        is_late: it stands inside a function.
        is_for_types: it stands under ``if TYPE_CHECKING``.
    """

    module: str
    line: int
    is_late: bool
    is_for_types: bool


def find_wrong_arrows(package: Path) -> list[str]:
    """Return one sentence for every import under the folder `package` that breaks a rule; empty if none does."""
    problems = []
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        ring = name.split("/")[0].removesuffix(".py")
        if ring not in RULES:
            problems.append(f"{name} belongs to no ring")
            continue
        if ring in ROOMS and room_of(ring, name.removesuffix(".py").split("/")[1:]) not in ROOMS[ring]:
            problems.append(f"{name} belongs to no room")
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        wrong = (imported for imported in read_imports(tree) if not _is_allowed(name, ring, imported))
        problems += [f"{name}:{imported.line} imports {imported.module}" for imported in wrong]
    return problems


def room_of(ring: str, path: list[str]) -> str:
    """Return the room of a module by the parts of its path below the ring; it may be one that the table lacks."""
    first = path[0] if path else RING_ITSELF
    return first if first in ROOMS.get(ring, {}) or len(path) > 1 else RING_ITSELF


def list_room_arrows(package: Path) -> list[tuple[str, str]]:
    """Return which room imports which other one of its ring, as ``("engine/sam", "engine/models")``."""
    arrows = set()
    for path in package.rglob("*.py"):
        ring, *parts = path.relative_to(package).with_suffix("").parts
        if ring not in ROOMS:
            continue
        for imported in read_imports(ast.parse(path.read_text(encoding="utf-8"))):
            target_ring, *target = imported.module.removeprefix(f"{PACKAGE}.").split(".")
            if imported.module.startswith(PACKAGE) and target_ring == ring:
                arrows.add((f"{ring}/{room_of(ring, parts)}", f"{ring}/{_imported_room(ring, target)}"))
    return sorted((first, second) for first, second in arrows if first != second)


def _imported_room(ring: str, path: list[str]) -> str:
    return path[0] if path[:1] and path[0] in ROOMS[ring] else RING_ITSELF


def _is_allowed(name: str, ring: str, imported: Import) -> bool:
    if imported.module.startswith("."):
        return False
    if name == "__init__.py" and not (
        imported.is_late or imported.is_for_types or _starts_with(imported.module, ("__future__",))
    ):
        return False
    if _starts_with(imported.module, (PACKAGE,)):
        target = [*imported.module.split("."), "__init__"][1]
        late_engine = target == "engine" and name == LATE_ENGINE_IMPORTS and imported.is_late
        return late_engine or (target in RULES[ring].rings and _is_open(name, ring, imported.module.split(".")[1:]))
    rule = RULES[ring]
    is_known = not rule.packages or _starts_with(imported.module, rule.packages)
    return is_known and not _starts_with(imported.module, rule.never)


def _is_open(name: str, ring: str, target: list[str]) -> bool:
    """Whether the room of a module may import another one of its ring."""
    if ring not in ROOMS or target[:1] != [ring]:
        return True
    room, other = room_of(ring, name.removesuffix(".py").split("/")[1:]), _imported_room(ring, target[1:])
    return room == other or other in ROOMS[ring][room]


def _starts_with(module: str, prefixes: tuple[str, ...]) -> bool:
    return any(module == prefix or module.startswith(prefix + ".") for prefix in prefixes)


def read_imports(tree: ast.AST, is_late: bool = False, is_for_types: bool = False) -> Iterator[Import]:
    """Yield every import below `tree`, also ``importlib.import_module`` and ``__import__`` with a fixed name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.stmt, ast.expr)):
            for module in _modules_of(node):
                yield Import(module, node.lineno, is_late, is_for_types)
        inside_function = is_late or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from read_imports(ast.Module(node.body, []), inside_function, True)
            yield from read_imports(ast.Module(node.orelse, []), inside_function, is_for_types)
        else:
            yield from read_imports(node, inside_function, is_for_types)


def _modules_of(node: ast.stmt | ast.expr) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = "." * node.level + (node.module or "")
        return [f"{base}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
        names = [argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant)]
        return [name for name in names if isinstance(name, str)]
    return []


def main() -> int:
    """Run the command."""
    folders = [argument for argument in sys.argv[1:] if argument != "--list"]
    package = Path(folders[0]) if folders else Path(__file__).resolve().parent.parent / PACKAGE
    if "--list" in sys.argv:
        arrows = list_room_arrows(package)
        print("\n".join(f"{first} -> {second}" for first, second in arrows))
        for ring, rooms in ROOMS.items():
            count = sum(first.startswith(f"{ring}/") for first, _ in arrows)
            print(f"{ring}: {len(rooms)} rooms, {count} arrows between them")
    problems = find_wrong_arrows(package)
    print("\n".join(problems) or "Every import points inwards.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
