"""What the house rules ask of docstrings, as far as a program can see it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from stage import PACKAGE, ROOT

ARRAY = re.compile(r"\b(NDArray|Tensor|Floats)\b")
SHAPE = re.compile(r"``\(|\((bands|rows|height|width|n|N|H|h)\b[^)]*,")


def public_functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """Yield functions of the module and methods of its public classes whose names are public."""
    owners = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_"))]
    for owner in owners:
        yield from (f for f in owner.body if isinstance(f, ast.FunctionDef) and not f.name.startswith("_"))


def handles_arrays(function: ast.FunctionDef) -> bool:
    arguments = [*function.args.args, *function.args.kwonlyargs]
    notes = [argument.annotation for argument in arguments] + [function.returns]
    texts = [ast.unparse(note) for note in notes if note is not None]
    return any(ARRAY.search(text) and "Mapping" not in text and "dict" not in text for text in texts)  # weights by name


def without_shape(package: Path) -> list[str]:
    found = []
    for path in sorted(package.rglob("*.py")):
        for function in public_functions(ast.parse(path.read_text(encoding="utf-8"))):
            if handles_arrays(function) and not SHAPE.search(ast.get_docstring(function) or ""):
                found.append(f"{path.relative_to(package).as_posix()}:{function.lineno} {function.name}")
    return found


def test_every_public_function_that_handles_arrays_states_a_shape():
    assert without_shape(ROOT / PACKAGE / "engine") == []


def test_a_function_without_a_shape_is_found(tmp_path):
    (tmp_path / "a.py").write_text(
        'def f(x: NDArray[np.uint8]) -> int:\n    """Return the sum."""\n\n\n'
        'def g(x: NDArray[np.uint8]) -> int:\n    """Return the sum of ``(H, W)``."""\n'
    )
    assert without_shape(tmp_path) == ["a.py:1 f"]
