"""What is seen: data sets, mask distributions and the Observation."""

from data.dataset import Dataset
from data.load import catalogue, load
from data.observation import Observation, check_scenes
from data.tables import table

__all__ = ["Dataset", "Observation", "catalogue", "check_scenes", "load", "table"]
