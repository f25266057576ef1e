"""Looks that would show the same, so that each is judged once."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.data.observation import Observation
from boed.sensors.direct import DirectSensor
from boed.sensors.indirect import IndirectSensor
from boed.sensors.sensor import Sensor, footprints

Which = tuple[Int64[Tensor, " P"], Int64[Tensor, " P"], Int64[Tensor, " P"]]
"""Completion, scene and candidate of each row."""


def first_alike(
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
    found = []
    for some in designs.split(64):
        taken = footprints(sensor, observation, some) > 0
        if taken.shape[1] != len(new):  # a sensor that reads channels alike
            return None
        found.append(taken.double() @ new)
    return torch.stack([(each[:, None] == each).int().argmax(1) for each in torch.cat(found).T])


def merged(which: Which, alike: Int64[Tensor, "B D"]) -> tuple[Which, Int64[Tensor, " P"]]:
    """The rows that differ, and for each row which of these it equals."""
    completion, scene, candidate = which
    number, candidates = alike.shape
    code = (completion * number + scene) * candidates + alike[scene, candidate]
    kept, again = code.unique(return_inverse=True)
    alone = (kept // (number * candidates), kept // candidates % number, kept % candidates)
    return alone, again
