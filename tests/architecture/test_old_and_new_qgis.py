"""What runs in QGIS's Python runs in Python 3.9, and with Qt 5 and Qt 6."""

from __future__ import annotations

import ast
import importlib

from stage import PACKAGE, ROOT

RINGS_IN_QGIS = ("contract", "runtime", "host", "gui", "algorithms")
QGIS_SIDE = [path for ring in RINGS_IN_QGIS for path in sorted((ROOT / PACKAGE / ring).rglob("*.py"))]
QGIS_SIDE += [ROOT / PACKAGE / name for name in ("__init__.py", "plugin.py")]


def newer_than_python_39(source: str) -> list[str]:
    """Return what Python 3.9 would refuse: syntax, and the usual newer arguments and modules."""
    try:
        tree = ast.parse(source, feature_version=(3, 9))
    except SyntaxError as error:
        return [f"line {error.lineno}: {error.msg}"]
    found = [(node.lineno, ast.unparse(node)) for node in ast.walk(tree) if is_newer(node)]
    return [f"line {line}: {text}" for line, text in found]


def is_newer(node: ast.AST) -> bool:
    newer_arguments = {"zip": {"strict"}, "dataclass": {"slots", "kw_only"}, "field": {"kw_only"}}
    newer_modules = {"tomllib", "itertools.pairwise", "typing.TypeAlias", "typing.Self", "enum.StrEnum"}
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func).split(".")[-1]
        return any(keyword.arg in newer_arguments.get(name, ()) for keyword in node.keywords)
    if isinstance(node, ast.ImportFrom):
        return any(f"{node.module}.{alias.name}" in newer_modules for alias in node.names)
    return isinstance(node, ast.Import) and any(alias.name in newer_modules for alias in node.names)


def unscoped_enums(source: str) -> list[str]:
    """Return enum values that are taken from the class directly, as ``Qt.AlignLeft``; Qt 6 knows only the long form."""
    tree = ast.parse(source)
    classes = dict(imported_from_qgis(tree))
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in attributes
        if ast.unparse(node.value) in classes and is_enum_value(classes[ast.unparse(node.value)], node.attr)
    ]


def imported_from_qgis(tree: ast.AST):
    """Yield what each name that was imported from ``qgis`` stands for, and the classes of imported modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("qgis."):
            for alias in node.names:
                found = find_in_qgis(node.module, alias.name)
                name = alias.asname or alias.name
                yield name, found
                yield from ((f"{name}.{inner}", kind) for inner, kind in vars(found).items() if isinstance(kind, type))


def find_in_qgis(module: str, name: str) -> object:
    """Return a class or module of QGIS; an empty class for a name that this version does not have."""
    try:
        return getattr(importlib.import_module(module), name, None) or importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        return type(name, (), {})


def is_enum_value(owner: object, name: str) -> bool:
    value = getattr(owner, name, None)
    is_enum = type(type(value)).__name__ in ("enumtype", "EnumMeta", "EnumType")
    return is_enum and owner is not type(value)


def test_a_module_on_the_side_of_qgis_runs_in_python_39_and_with_qt_6(subtests):
    for path in QGIS_SIDE:
        with subtests.test(path.relative_to(ROOT).as_posix()):
            source = path.read_text(encoding="utf-8")
            assert newer_than_python_39(source) == []
            assert unscoped_enums(source) == []


def test_newer_python_is_found(subtests):
    for source in (
        "match x:\n    case 1:\n        pass",
        "import tomllib",
        "from enum import StrEnum",
        "zip(a, b, strict=True)",
        "@dataclass(frozen=True, slots=True)\nclass A:\n    pass",
    ):
        with subtests.test(source=source):
            assert len(newer_than_python_39(source)) == 1


def test_an_unscoped_enum_is_found(subtests):
    for source in (
        "from qgis.PyQt.QtCore import Qt\nx = Qt.AlignLeft",
        "from qgis.PyQt.QtCore import Qt as Core\nx = Core.UserRole + 1",
        "from qgis.PyQt import QtCore\nx = QtCore.Qt.red",
        "from qgis.PyQt.QtWidgets import QMessageBox\nx = QMessageBox.Ok",
        "from qgis.core import QgsTask\nx = QgsTask.CanCancel",
    ):
        with subtests.test(source=source):
            assert len(unscoped_enums(source)) == 1


def test_a_scoped_enum_is_accepted():
    source = (
        "from qgis.PyQt.QtCore import Qt, QTimer\nfrom qgis.core import QgsTask\nfrom qgis.PyQt.QtGui import NewInQt7\n"
        "x = Qt.AlignmentFlag.AlignLeft, QgsTask.Flag.CanCancel, QTimer.singleShot, Qt.ItemDataRole"
    )
    assert unscoped_enums(source) == []
