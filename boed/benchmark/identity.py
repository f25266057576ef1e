"""What a run is, for the record: its policies and its sensor in words and numbers."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

from torch import Tensor

from boed.policies import Policy
from boed.sensors.sensor import Sensor


def stated_policy(policy: Policy) -> dict[str, Any]:
    """What a policy is: its class and the fields of its dataclass that change results."""
    stated = _stated(policy)
    return stated if isinstance(stated, dict) else {"kind": stated}


def stated_sensor(sensor: Sensor, designs: Tensor) -> dict[str, Any]:
    """What a sensor is: its class, the looks it offers and its noise."""
    return {
        "kind": type(sensor).__name__,
        "candidates": len(designs),
        "sha256": hashlib.sha256(designs.cpu().numpy().tobytes()).hexdigest()[:16],
        "noise": float(getattr(sensor, "noise", 0)),
    }


def _stated(thing: object) -> Any:
    if thing is None or isinstance(thing, str | int | float):
        return thing
    if isinstance(thing, Tensor):
        return thing.tolist()
    if isinstance(thing, tuple | list):
        return [_stated(each) for each in thing]
    kind = type(thing).__name__
    if not dataclasses.is_dataclass(thing):
        return kind
    fields = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}
    for name in ("memory", "cache"):  # change no result
        fields.pop(name, None)
    return {"kind": kind, **{name: _stated(value) for name, value in fields.items()}}
