"""The API reference, from the docstrings: `python docs/build.py [FOLDER]`, `site` if not given."""

from __future__ import annotations

import pkgutil
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pdoc

ROOTS = ("boed", "completion", "classifiers", "data")


def modules() -> list[str]:
    """The four packages, the packages in them, and the modules that lie beside those."""
    found = []
    for root in ROOTS:
        inner = pkgutil.walk_packages(import_module(root).__path__, f"{root}.")
        found += [root, *sorted(each.name for each in inner if each.name.count(".") == 1)]
    return found


def build(folder: Path) -> None:
    """Write the pages; `index.html` leads to all of them."""
    # functions such as data.load have the name of their module
    warnings.filterwarnings("ignore", message="The module specification")
    pdoc.render.configure(docformat="google", math=True, search=True)
    pdoc.pdoc(*modules(), output_directory=folder)


if __name__ == "__main__":
    build(Path(sys.argv[1] if len(sys.argv) > 1 else "site"))
