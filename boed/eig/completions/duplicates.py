"""Looks that would show the same, so that each is evaluated once."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.data.observation import Observation
from boed.sensors.direct import DirectSensor
from boed.sensors.indirect import IndirectSensor
from boed.sensors.sensor import Sensor, footprints

Rows = tuple[Int64[Tensor, " P"], Int64[Tensor, " P"], Int64[Tensor, " P"]]
"""Completion, scene and candidate of each of P looks at completions."""


def first_duplicate(
    observation: Observation, designs: Float[Tensor, "D K"], sensor: Sensor
) -> Int64[Tensor, "B D"] | None:
    """For each scene and look, the first look that shows the same; None if that is not known.

    Two looks show the same if they take the same of what has not been seen: the line that has
    been read already and the patch that has been seen whole both show nothing. Only for sensors
    whose observation is a matter of what was taken, as `DirectSensor` and `IndirectSensor` say.
    """
    if not isinstance(sensor, DirectSensor | IndirectSensor) or not observation.seen.any():
        return None
    unseen = observation.seen == 0
    generator = torch.Generator().manual_seed(0)
    number = torch.rand(unseen.shape[1], generator=generator, dtype=torch.float64)
    new = (unseen * number.to(unseen.device)).T  # its sum over a look is as good as a hash
    sums = []
    for some in designs.split(64):
        taken = footprints(sensor, observation, some) > 0
        if taken.shape[1] != len(new):  # a sensor that reads channels alike
            return None
        sums.append(taken.double() @ new)
    return _first_equal(torch.cat(sums).T)


def _first_equal(values: Float[Tensor, "B D"]) -> Int64[Tensor, "B D"]:
    """For each number of a row, where in the row the first one that equals it is."""
    ordered, order = values.sort(dim=1, stable=True)
    begins = torch.ones_like(ordered, dtype=torch.bool)
    begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    place = torch.arange(values.shape[1], device=values.device).expand_as(order)
    begin = place.where(begins, 0).cummax(1).values  # where the run of equal ones begins
    return torch.empty_like(order).scatter(1, order, order.gather(1, begin))


def unique_rows(rows: Rows, duplicate: Int64[Tensor, "B D"]) -> tuple[Rows, Int64[Tensor, " P"]]:
    """The looks that differ, and for each look which of these it equals.

    Args:
        rows: looks, of B scenes and D candidates.
        duplicate: of each scene and candidate, as `first_duplicate` says.
    """
    completion, scene, candidate = rows
    number, candidates = duplicate.shape
    code = (completion * number + scene) * candidates + duplicate[scene, candidate]
    code, inverse = code.unique(return_inverse=True)
    unique = (code // (number * candidates), code // candidates % number, code % candidates)
    return unique, inverse
