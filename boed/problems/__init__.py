"""Textbook design problems as Pyro models, with their true expected information gain."""

from boed.problems.censored import CensoredSigmoidNormal
from boed.problems.class_information import ClassInformation
from boed.problems.constant_elasticity import ConstantElasticity
from boed.problems.death_process import DeathProcess
from boed.problems.finite_space import FiniteSpace
from boed.problems.hyperbolic_discounting import HyperbolicDiscounting
from boed.problems.linear_gaussian import LinearGaussian
from boed.problems.literature import LITERATURE, Mark, Task
from boed.problems.location_finding import LocationFinding, LocationFindingUnitSquare
from boed.problems.prey_population import PreyPopulation
from boed.problems.problem import Problem
from boed.problems.reference import PROBLEMS, Reference, references
from boed.problems.truncated_normal import LowerTruncatedNormal
from boed.problems.two_alternative_choice import TwoAlternativeChoice

__all__ = [
    "LITERATURE",
    "PROBLEMS",
    "CensoredSigmoidNormal",
    "ClassInformation",
    "ConstantElasticity",
    "DeathProcess",
    "FiniteSpace",
    "HyperbolicDiscounting",
    "LinearGaussian",
    "LocationFinding",
    "LocationFindingUnitSquare",
    "LowerTruncatedNormal",
    "Mark",
    "PreyPopulation",
    "Problem",
    "Reference",
    "Task",
    "TwoAlternativeChoice",
    "references",
]
