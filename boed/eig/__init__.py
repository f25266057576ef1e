"""Expected information gain of a look about the question v, in nats."""

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

__all__ = [
    "ESTIMATORS",
    "BarberAgakov",
    "Disagreement",
    "EIGEstimate",
    "Estimator",
    "Imagined",
    "MarginalEntropy",
    "PosteriorEntropy",
    "PredictiveEntropy",
    "ValueOfInformation",
    "Variance",
    "candidate_log_beliefs",
    "eig_map",
    "estimate",
    "imagine",
    "posterior_entropy_eig",
    "variational_eig",
]
