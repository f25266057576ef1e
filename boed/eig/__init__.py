"""Expected information gain of a look about the question v, in nats."""

from boed.eig.beliefs import candidate_log_beliefs
from boed.eig.estimate import ESTIMATORS, EIGMap, eig_map
from boed.eig.posterior_entropy import posterior_entropy_eig
from boed.eig.variational import variational_eig

__all__ = [
    "ESTIMATORS",
    "EIGMap",
    "candidate_log_beliefs",
    "eig_map",
    "posterior_entropy_eig",
    "variational_eig",
]
