"""Deep adaptive design: a policy network that chooses each look from all that was seen so far."""

from boed.deep_adaptive.loss import Contrast, contrast, first_design, single_look, spce_loss
from boed.deep_adaptive.network import (
    DeepAdaptiveDesign,
    PolicyConfig,
    SequentialDesigner,
    StaticDesign,
)
from boed.deep_adaptive.training import PolicyTrainingConfig, train_policy

__all__ = [
    "Contrast",
    "DeepAdaptiveDesign",
    "PolicyConfig",
    "PolicyTrainingConfig",
    "SequentialDesigner",
    "StaticDesign",
    "contrast",
    "first_design",
    "single_look",
    "spce_loss",
    "train_policy",
]
