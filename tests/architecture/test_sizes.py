"""Sizes and the three places where anything may be caught: the house rules of CONTRIBUTING.md."""

from __future__ import annotations

import ast
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from stage import PACKAGE, ROOT


def nodes_in(package: Path) -> Iterator[tuple[str, ast.AST]]:
    """Yield every syntax node below the folder, with the name of its module."""
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield path.relative_to(package).as_posix(), node


def function_lengths(package: Path) -> dict[str, int]:
    """Return the lines of each function, docstring included."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = [(name, node) for name, node in nodes_in(package) if isinstance(node, kinds)]
    return {f"{name}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1 for name, node in functions}


def broad_catches(package: Path) -> list[str]:
    """Return the ring of every handler that catches anything."""
    handlers = [(name, node) for name, node in nodes_in(package) if isinstance(node, ast.ExceptHandler)]
    return [name.split("/")[0] for name, node in handlers if is_broad(node)]


def is_broad(handler: ast.ExceptHandler) -> bool:
    caught = ast.unparse(handler.type).strip("()").split(", ") if handler.type else ["BaseException"]
    return "Exception" in caught or "BaseException" in caught


def test_no_module_has_400_lines():
    modules = sorted((ROOT / PACKAGE).rglob("*.py"))
    assert [path.name for path in modules if len(path.read_text(encoding="utf-8").splitlines()) >= 400] == []


def modules_by_folder(package: Path) -> dict[str, int]:
    """Return how many modules each folder holds beside its ``__init__``."""
    modules = [path for path in package.rglob("*.py") if path.name != "__init__.py"]
    return Counter(path.parent.relative_to(package).as_posix() for path in modules)


def test_no_folder_holds_more_than_15_modules_and_the_shared_ones_have_room():
    counts = modules_by_folder(ROOT / PACKAGE)
    assert {folder: count for folder, count in counts.items() if count > 15} == {}
    assert counts["contract"] <= 13
    assert counts["host"] <= 13


def test_no_function_is_longer_than_60_lines_and_half_of_them_have_ten_at_most():
    lengths = function_lengths(ROOT / PACKAGE)
    assert {name: lines for name, lines in lengths.items() if lines > 60} == {}
    assert statistics.median(lengths.values()) <= 10


def test_anything_is_caught_only_by_the_worker_loop_the_task_and_the_algorithm():
    rings = broad_catches(ROOT / PACKAGE)
    assert len(rings) == len(set(rings))
    assert set(rings) <= {"engine", "host", "algorithms"}


@pytest.mark.parametrize(
    ("handler", "rings"),
    [
        ("except Exception:", ["gui"]),
        ("except (ValueError, Exception) as error:", ["gui"]),
        ("except BaseException:", ["gui"]),
        ("except:", ["gui"]),
        ("except (ValueError, KeyError):", []),
    ],
)
def test_a_broad_catch_is_found(tmp_path, handler, rings):
    (tmp_path / "gui").mkdir()
    (tmp_path / "gui" / "dock.py").write_text(f"try:\n    pass\n{handler}\n    pass\n", encoding="utf-8")
    assert broad_catches(tmp_path) == rings
