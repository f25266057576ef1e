"""How models learn: the one training loop, its settings, recipes, and several devices.

Names are imported when first used, so that the command line knows the settings without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boed.training.config import (
        ClassifierTrainingConfig,
        TrainingConfig,
        ValueTrainingConfig,
    )
    from boed.training.curve import draw_curves
    from boed.training.loop import fit, provenance
    from boed.training.ranks import Ranks, join
    from boed.training.recipes import Recipe
    from boed.training.state import Progress

_HOMES = {
    "ClassifierTrainingConfig": "config",
    "Progress": "state",
    "Ranks": "ranks",
    "Recipe": "recipes",
    "TrainingConfig": "config",
    "ValueTrainingConfig": "config",
    "draw_curves": "curve",
    "fit": "loop",
    "join": "ranks",
    "provenance": "loop",
}

__all__ = [
    "ClassifierTrainingConfig",
    "Progress",
    "Ranks",
    "Recipe",
    "TrainingConfig",
    "ValueTrainingConfig",
    "draw_curves",
    "fit",
    "join",
    "provenance",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'boed.training' has no attribute {name!r}")
    return getattr(importlib.import_module(f"boed.training.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
