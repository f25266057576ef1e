"""Deep adaptive design: a policy network that chooses each look from all that was seen so far."""

from boed.deep_adaptive.config import PolicyConfig
from boed.deep_adaptive.loss import Contrast, contrast, first_design, single_look, spce_loss
from boed.deep_adaptive.network import DeepAdaptiveDesign, SequentialDesigner
from boed.deep_adaptive.policy import (
    DesignPolicy,
    architecture_for,
    design_policy,
    train_design_policy,
)
from boed.deep_adaptive.refining import StepDAD, refine
from boed.deep_adaptive.static_design import StaticDesign
from boed.deep_adaptive.training import train_policy
from boed.training.config import PolicyTrainingConfig

__all__ = [
    "Contrast",
    "DeepAdaptiveDesign",
    "DesignPolicy",
    "PolicyConfig",
    "PolicyTrainingConfig",
    "SequentialDesigner",
    "StaticDesign",
    "StepDAD",
    "architecture_for",
    "contrast",
    "design_policy",
    "first_design",
    "refine",
    "single_look",
    "spce_loss",
    "train_design_policy",
    "train_policy",
]
