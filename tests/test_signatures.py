"""What has more than three parameters takes the rest by keyword.

The commands are left out, whose options typer passes by name.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import boed

PACKAGE = Path(boed.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent.name != "cli")
MOST = 3
"""Parameters that a public function or dataclass may take by position."""


def positional(function: ast.FunctionDef, method: bool) -> int:
    given = [*function.args.posonlyargs, *function.args.args]
    static = any(ast.unparse(each) == "staticmethod" for each in function.decorator_list)
    return len(given) - (method and not static)


def fields(node: ast.ClassDef) -> int:
    """Fields that a dataclass takes by position."""
    number = 0
    for each in node.body:
        if not isinstance(each, ast.AnnAssign):
            continue
        kind = ast.unparse(each.annotation)
        if "KW_ONLY" in kind:
            return number
        value = "" if each.value is None else ast.unparse(each.value)
        if "ClassVar" not in kind and "init=False" not in value and "kw_only=True" not in value:
            number += 1
    return number


def too_many(body: list[ast.stmt], where: str = "", method: bool = False) -> list[str]:
    found = []
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            found += too_many(node.body, f"{where}{node.name}.", method=True)
            kinds = [ast.unparse(each) for each in node.decorator_list]
            data = any(
                kind.startswith("dataclass") and "kw_only=True" not in kind for kind in kinds
            )
            if data and fields(node) > MOST:
                found.append(f"{where}{node.name}")
        if isinstance(node, ast.FunctionDef):
            public = not node.name.startswith("_") or node.name == "__init__"
            computed = node.name == "forward"  # torch calls it, by position
            if public and not computed and positional(node, method) > MOST:
                found.append(f"{where}{node.name}")
    return found


@pytest.mark.parametrize("path", FILES, ids=[str(f.relative_to(PACKAGE)) for f in FILES])
def test_at_most_three_parameters_are_positional(path: Path) -> None:
    assert too_many(ast.parse(path.read_text()).body) == []
