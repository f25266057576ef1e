"""The examples in docstrings do what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "boed").rglob("*.py")
    if ">>> " in path.read_text()
)
"""Only these are imported: most modules have none, and some need an extra."""


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0


def test_what_people_meet_first_has_an_example() -> None:
    shown = {name.rsplit(".", 1)[-1] for name in MODULES}
    assert shown >= {"acquire", "load", "dataset", "observation", "patch", "model_eig", "fixed"}
