"""Which candidates are evaluated, and with how many completions.

`boed.search.continuous.pce_objective`, which needs Pyro, is imported by its own name.
"""

from boed.search.candidates.batch import Batch, greedy_batch, greedy_joint
from boed.search.candidates.coarse_to_fine import CoarseToFine
from boed.search.candidates.exhaustive import Exhaustive, Search
from boed.search.candidates.proposing import Proposer, Proposing
from boed.search.candidates.racing import Racing
from boed.search.candidates.screening import Screen, Screening
from boed.search.candidates.upper_bounds import upper_bound
from boed.search.continuous.bayesian import bayesian_optimisation
from boed.search.continuous.gradient import gradient_ascent
from boed.search.continuous.off_grid import off_grid
from boed.search.continuous.optimum import Optimum

__all__ = [
    "Batch",
    "CoarseToFine",
    "Exhaustive",
    "Optimum",
    "Proposer",
    "Proposing",
    "Racing",
    "Screen",
    "Screening",
    "Search",
    "bayesian_optimisation",
    "gradient_ascent",
    "greedy_batch",
    "greedy_joint",
    "off_grid",
    "upper_bound",
]
