"""What a benchmark is, for the record: content fingerprints, and its parts in words and numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from torch import Tensor

from boed.classifiers.classifier import Classifier
from boed.classifiers.trained import TrainedClassifier
from boed.data.dataset import Dataset
from boed.foundation.checks import attribute
from boed.foundation.fingerprint import of_source
from boed.foundation.identity import DIGITS, identity
from boed.policies import Policy
from boed.sensors.sensor import Sensor
from boed.sensors.travel import travels


def benchmark_identity(
    dataset: Dataset, sensor: Sensor, classifier: Classifier, *, policies: Mapping[str, Policy]
) -> dict[str, Any]:
    """Fingerprints of everything that changes the results of a benchmark but its settings."""
    return {
        "data": f"{dataset.name} {dataset.split} {dataset.sha256[:DIGITS]}",
        "sensor": identity(sensor),
        "classifier": identity(classifier),
        "policies": {name: identity(policy) for name, policy in policies.items()},
        "code": f"boed {_code()[:DIGITS]}",
    }


@lru_cache(maxsize=1)
def _code() -> str:
    return of_source("boed")


def describe_policy(policy: Policy) -> dict[str, Any]:
    """What a policy is: its class and the fields of its dataclass that change results."""
    described = _described(policy)
    return described if isinstance(described, dict) else {"kind": described}


def describe_classifier(classifier: Classifier) -> dict[str, Any]:
    """What was asked of a classifier besides its weights: None where nothing was."""
    if not isinstance(classifier, TrainedClassifier):
        return {"prevalence": None, "precision": None}
    precision = classifier.precision
    return {
        "prevalence": classifier.prevalence,
        "precision": None if precision == "fp32" else precision,
    }


def describe_sensor(sensor: Sensor, designs: Tensor) -> dict[str, Any]:
    """What a sensor is: its class, how many looks it offers, its noise, and whether it travels."""
    described = {
        "kind": type(sensor).__name__,
        "candidates": len(designs),
        "noise": float(attribute(sensor, "noise", 0)),
    }
    if travels(sensor):
        described["travel"] = attribute(sensor, "per_pixel", "as the sensor says")
    return described


def _described(thing: object) -> Any:
    if thing is None or isinstance(thing, str | int | float):
        return thing
    if isinstance(thing, Tensor):
        return thing.tolist()
    if isinstance(thing, tuple | list):
        return [_described(each) for each in thing]
    kind = type(thing).__name__
    if not dataclasses.is_dataclass(thing):
        return kind
    fields = {
        field.name: _described(getattr(thing, field.name))
        for field in dataclasses.fields(thing)
        if field.compare
    }
    return {"kind": kind, **fields}
