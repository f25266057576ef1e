"""How models learn: the one training loop, its settings, and several devices."""

from boed.training.loop import Progress, TrainingConfig, fit, provenance
from boed.training.ranks import Ranks, join

__all__ = ["Progress", "Ranks", "TrainingConfig", "fit", "join", "provenance"]
