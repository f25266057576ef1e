"""Where the trained models lie that come with boed: a folder each, in the checkout or the wheel.

A folder holds `weights.safetensors`, `recipe.toml` and `card.md`. In a checkout the folders are
those under `completion/`, `classifiers/` and `policies/` at its top; the wheel has them in
`boed/weights/`.
"""

from __future__ import annotations

from pathlib import Path

from boed.foundation.registry import unknown

WEIGHTS = "weights.safetensors"
"""The file of weights in a model's folder."""

KINDS = ("completion", "classifiers", "policies")
"""What a shipped model is."""


def zoo_folder() -> Path:
    """The folder that has a folder for each kind of shipped model."""
    package = Path(__file__).parents[1]
    in_wheel = package / "weights"
    return in_wheel if in_wheel.is_dir() else package.parent


def shipped_names(kind: str | None = None) -> list[str]:
    """Names of the shipped models, of one kind if it is given."""
    kinds = KINDS if kind is None else (kind,)
    return sorted(
        path.parent.name for each in kinds for path in (zoo_folder() / each).glob(f"*/{WEIGHTS}")
    )


def shipped_folder(name: str) -> Path:
    """The folder of a shipped model.

    Raises:
        ValueError: there is none of that name; the nearest is suggested.
    """
    for kind in KINDS:
        folder = zoo_folder() / kind / name
        if (folder / WEIGHTS).is_file():
            return folder
    raise unknown("shipped model", name, shipped_names())


def shipped(name: str) -> Path:
    """The weights of a shipped model.

    Raises:
        ValueError: there is none of that name; the nearest is suggested.
    """
    return shipped_folder(name) / WEIGHTS
