"""Where to look next: Bayesian optimal experimental design in sequential sensing.

Names are imported when first used, so that `boed --help` does not wait for torch.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boed.acquire import Trajectory, acquire
    from boed.acquisition import Budget
    from boed.benchmark import benchmark
    from boed.eig import EIGEstimate, eig_map, model_eig, posterior_entropy_eig, variational_eig
    from boed.policies import BOED, CentreOut, Decision, Oracle, Policy, Random
    from boed.run import run
    from boed.sensors import PatchSensor, Sensor
    from boed.session import Session
    from boed.setup import Setup, setup

_HOMES = {
    "acquire": "acquire",
    "Budget": "acquisition",
    "Trajectory": "acquire",
    "benchmark": "benchmark",
    "EIGEstimate": "eig",
    "eig_map": "eig",
    "model_eig": "eig",
    "posterior_entropy_eig": "eig",
    "variational_eig": "eig",
    "BOED": "policies",
    "CentreOut": "policies",
    "Decision": "policies",
    "Oracle": "policies",
    "Policy": "policies",
    "Random": "policies",
    "PatchSensor": "sensors",
    "Sensor": "sensors",
    "Session": "session",
    "Setup": "setup",
    "run": "run",
    "setup": "setup",
}

_PACKAGES = ("classifiers", "completion", "data", "policies", "search", "sensors")

__all__ = [
    "BOED",
    "Budget",
    "CentreOut",
    "Decision",
    "EIGEstimate",
    "Oracle",
    "PatchSensor",
    "Policy",
    "Random",
    "Sensor",
    "Session",
    "Setup",
    "Trajectory",
    "acquire",
    "benchmark",
    "eig_map",
    "model_eig",
    "posterior_entropy_eig",
    "run",
    "setup",
    "variational_eig",
]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:  # `boed.data.load(...)` after `import boed` alone
        return importlib.import_module(f"boed.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'boed' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"boed.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """`boed.acquire` is the function, also after something imported the module of that name."""

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and _HOMES.get(name) == name:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
