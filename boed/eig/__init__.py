"""Expected information gain of a look about the question v, in nats.

From completions and a classifier: `eig_map`. From a Pyro model: `model_eig` and `sequential_pce`,
which are imported when first used, since Pyro takes a while.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from boed.eig.beliefs import candidate_log_beliefs
from boed.eig.estimate import eig_map, estimate, imagine
from boed.eig.estimators import (
    ESTIMATORS,
    BarberAgakov,
    Disagreement,
    Estimator,
    MarginalEntropy,
    PosteriorEntropy,
    PredictiveEntropy,
    ValueOfInformation,
    Variance,
)
from boed.eig.imagined import Imagined
from boed.eig.posterior_entropy import posterior_entropy_eig
from boed.eig.result import EIGEstimate
from boed.eig.variational import variational_eig

if TYPE_CHECKING:
    from boed.eig.likelihood import MODEL_ESTIMATORS, model_eig
    from boed.eig.sequential import SequentialEIG, fixed_policy, random_policy, sequential_pce

_LAZY = {
    "MODEL_ESTIMATORS": "likelihood",
    "model_eig": "likelihood",
    "SequentialEIG": "sequential",
    "fixed_policy": "sequential",
    "random_policy": "sequential",
    "sequential_pce": "sequential",
}

__all__ = [
    "ESTIMATORS",
    "MODEL_ESTIMATORS",
    "BarberAgakov",
    "Disagreement",
    "EIGEstimate",
    "Estimator",
    "Imagined",
    "MarginalEntropy",
    "PosteriorEntropy",
    "PredictiveEntropy",
    "SequentialEIG",
    "ValueOfInformation",
    "Variance",
    "candidate_log_beliefs",
    "eig_map",
    "estimate",
    "fixed_policy",
    "imagine",
    "model_eig",
    "posterior_entropy_eig",
    "random_policy",
    "sequential_pce",
    "variational_eig",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'boed.eig' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"boed.eig.{_LAZY[name]}"), name)
    globals()[name] = value
    return value
