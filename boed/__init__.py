"""Where to look next: Bayesian optimal experimental design in sequential sensing."""

from boed.acquire import Trajectory, acquire
from boed.eig import eig_map, posterior_entropy_eig, variational_eig
from boed.policies import BOED, CentreOut, Decision, MaxVariance, Oracle, Policy, Random
from boed.sensors import PatchSensor, Sensor

__all__ = [
    "BOED",
    "CentreOut",
    "Decision",
    "MaxVariance",
    "Oracle",
    "PatchSensor",
    "Policy",
    "Random",
    "Sensor",
    "Trajectory",
    "acquire",
    "eig_map",
    "posterior_entropy_eig",
    "variational_eig",
]
