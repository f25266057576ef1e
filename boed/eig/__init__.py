"""Expected information gain of a look about the question v, in nats.

From completions and a classifier: `eig_map`. From a Pyro model: `model_eig` and `sequential_pce`,
which are imported when first used, since Pyro takes a while.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from boed.eig.completions.estimate import design_problem, eig_map, estimate
from boed.eig.completions.estimators import (
    ESTIMATORS,
    AdditiveEstimator,
    BarberAgakov,
    Disagreement,
    Estimator,
    InformationGain,
    MixtureEntropy,
    PosteriorEntropy,
    PredictiveEntropy,
    ValueOfInformation,
    Variance,
)
from boed.eig.completions.posterior_entropy import posterior_entropy_eig
from boed.eig.completions.problem import DesignProblem
from boed.eig.completions.variational import variational_eig
from boed.eig.result import EIGEstimate

if TYPE_CHECKING:
    from boed.eig.model.design_space import DesignSpace
    from boed.eig.model.greedy import Greedy
    from boed.eig.model.model_eig import MODEL_ESTIMATORS, model_eig
    from boed.eig.model.posterior import Posterior, sample_posterior
    from boed.eig.model.sequential import SequentialEIG, fixed_policy, random_policy, sequential_pce

_LAZY = {
    "DesignSpace": "model.design_space",
    "Greedy": "model.greedy",
    "Posterior": "model.posterior",
    "sample_posterior": "model.posterior",
    "MODEL_ESTIMATORS": "model.model_eig",
    "model_eig": "model.model_eig",
    "SequentialEIG": "model.sequential",
    "fixed_policy": "model.sequential",
    "random_policy": "model.sequential",
    "sequential_pce": "model.sequential",
}

__all__ = [
    "ESTIMATORS",
    "MODEL_ESTIMATORS",
    "AdditiveEstimator",
    "BarberAgakov",
    "DesignProblem",
    "DesignSpace",
    "Disagreement",
    "EIGEstimate",
    "Estimator",
    "Greedy",
    "InformationGain",
    "MixtureEntropy",
    "Posterior",
    "PosteriorEntropy",
    "PredictiveEntropy",
    "SequentialEIG",
    "ValueOfInformation",
    "Variance",
    "design_problem",
    "eig_map",
    "estimate",
    "fixed_policy",
    "model_eig",
    "posterior_entropy_eig",
    "random_policy",
    "sample_posterior",
    "sequential_pce",
    "variational_eig",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'boed.eig' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"boed.eig.{_LAZY[name]}"), name)
    globals()[name] = value
    return value
