"""Where to look next, and when to stop."""

from boed.policies.conformal import SplitConformal
from boed.policies.first_look import FirstLook
from boed.policies.fixed import FixedDesign, optimise_fixed_design
from boed.policies.informed import BOED, Oracle
from boed.policies.lookahead import TwoStep
from boed.policies.policy import Decision, Policy
from boed.policies.scanning import CentreOut, Random
from boed.policies.stopping import AnyOf, Confident, ConformalSingle, EIGBelow, Rule, Until

__all__ = [
    "BOED",
    "AnyOf",
    "CentreOut",
    "Confident",
    "ConformalSingle",
    "Decision",
    "EIGBelow",
    "FirstLook",
    "FixedDesign",
    "Oracle",
    "Policy",
    "Random",
    "Rule",
    "SplitConformal",
    "TwoStep",
    "Until",
    "optimise_fixed_design",
]
