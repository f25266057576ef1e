"""What is seen: data sets, mask distributions and the Observation."""

from boed.data.dataset import Dataset
from boed.data.incomplete import Incomplete
from boed.data.load import catalogue, load
from boed.data.observation import Observation, check_scenes
from boed.data.readers.tables import table
from boed.data.training_split import incomplete_splits, training_splits

__all__ = [
    "Dataset",
    "Incomplete",
    "Observation",
    "catalogue",
    "check_scenes",
    "incomplete_splits",
    "load",
    "table",
    "training_splits",
]
