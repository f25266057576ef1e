"""How models learn: the one training loop, its settings, and several devices."""

from boed.training.loop import Fit, Progress, fit, provenance
from boed.training.ranks import Ranks, join

__all__ = ["Fit", "Progress", "Ranks", "fit", "join", "provenance"]
