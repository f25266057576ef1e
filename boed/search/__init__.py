"""Which candidates are judged, and how well.

`boed.search.pce_objective`, which needs Pyro, is imported by its own name.
"""

from boed.search.batch import Batch, greedy_batch, greedy_joint
from boed.search.bayesian import bayesian_optimisation
from boed.search.ceiling import ceiling
from boed.search.coarse_to_fine import CoarseToFine
from boed.search.exhaustive import Exhaustive, Search
from boed.search.gradient import gradient_ascent
from boed.search.off_grid import off_grid
from boed.search.optimum import Optimum
from boed.search.racing import Racing
from boed.search.screening import Screen, Screening

__all__ = [
    "Batch",
    "CoarseToFine",
    "Exhaustive",
    "Optimum",
    "Racing",
    "Screen",
    "Screening",
    "Search",
    "bayesian_optimisation",
    "ceiling",
    "gradient_ascent",
    "greedy_batch",
    "greedy_joint",
    "off_grid",
]
