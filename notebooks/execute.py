"""Run the notebooks and store them with their outputs: `python notebooks/execute.py [NAME ...]`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def execute(path: Path) -> None:
    """Run a notebook from top to bottom in a fresh kernel, and write it back."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=1200, record_timing=False, resources={"metadata": {"path": str(HERE)}}
    )
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # tqdm's, of Jupyter's widgets
    client.execute()
    notebook.metadata["language_info"] = {"name": "python"}  # no version: it changes with each run
    nbformat.write(notebook, path)
    print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.stem for path in HERE.glob("*.ipynb")):
        execute(HERE / f"{name}.ipynb")
