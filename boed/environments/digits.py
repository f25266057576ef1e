"""The registered environment `boed/Digits-v0`: handwritten digits seen through small patches."""

from __future__ import annotations

from typing import Any

from boed.classifiers.densenet_classifier import DenseNetClassifier
from boed.data.load import load
from boed.environments.single import SensingEnv
from boed.environments.vector import VectorSensingEnv
from boed.foundation.shipped import shipped
from boed.sensors import PatchSensor


def single(**given: Any) -> SensingEnv:
    """`gymnasium.make("boed/Digits-v0", ...)`.

    Args:
        split: `train` (4,000 digits), `val` or `test` (500 each).
        looks: looks in an episode.
        patch, grid: as in `PatchSensor`.
        belief: whether to show what the shipped classifier believes, as `ClassifierPredicts`
            needs.
        cost_weight, loss, continuous, device, render_mode: as in `SensingEnv`.
    """
    return SensingEnv(**_arguments(**given))


def vector(num_envs: int, **given: Any) -> VectorSensingEnv:
    """`gymnasium.make_vec("boed/Digits-v0", num_envs, "vector_entry_point", ...)`."""
    return VectorSensingEnv(num_envs, **_arguments(**given))


def _arguments(
    split: str = "train",
    looks: int = 5,
    patch: float = 0.25,
    grid: int = 9,
    belief: bool = False,
    **rest: Any,
) -> dict[str, Any]:
    dataset = load("digits", 32, split)
    sensor = PatchSensor(dataset.size, patch, grid)
    classifier = DenseNetClassifier.load(shipped("densenet-digits-32")) if belief else None
    if classifier is not None and "device" in rest:
        classifier.to(rest["device"])
    return {
        "dataset": dataset,
        "sensor": sensor,
        "looks": looks,
        "classifier": classifier,
        **rest,
    }
