"""Where to look next."""

from boed.policies.informed import BOED, MaxVariance, Oracle
from boed.policies.policy import Decision, Policy
from boed.policies.scanning import CentreOut, Random

__all__ = ["BOED", "CentreOut", "Decision", "MaxVariance", "Oracle", "Policy", "Random"]
