"""Sensing as Gymnasium environments, in the convention of ap_gym (Schneider et al. 2025).

Importing this package registers `boed/Digits-v0`. It needs the extra `boed[env]`.
"""

from __future__ import annotations

try:
    import gymnasium
except ModuleNotFoundError as error:
    raise ImportError(
        'boed.environments needs gymnasium 1.1 or later: pip install "boed[env]"'
    ) from error

from boed.environments.loss import CrossEntropy, Loss
from boed.environments.play import play
from boed.environments.single import ClassifierPredicts, SensingEnv
from boed.environments.vector import VectorClassifierPredicts, VectorSensingEnv

gymnasium.register(
    id="boed/Digits-v0",
    entry_point="boed.environments.digits:single",
    vector_entry_point="boed.environments.digits:vector",
)

__all__ = [
    "ClassifierPredicts",
    "CrossEntropy",
    "Loss",
    "SensingEnv",
    "VectorClassifierPredicts",
    "VectorSensingEnv",
    "play",
]
