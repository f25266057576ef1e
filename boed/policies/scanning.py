"""Policies that do not look at what they see: random scanning and a fixed scan."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from boed.policies.policy import Decision, footprints, pick
from boed.sensors import Sensor
from data.observation import Observation
from data.randomness import Seeds, per_scene


class Random:
    """A look drawn uniformly from the candidates that show anything new."""

    def choose(
        self,
        observation: Observation,
        sensor: Sensor,
        seed: Seeds = 0,
        truth: Float[Tensor, "B C H W"] | None = None,
    ) -> Decision:
        designs = sensor.designs(observation)
        new = _new_pixels(observation, sensor) > 0
        chosen = pick(new.float(), per_scene(seed, len(observation)))
        return Decision(designs[chosen], designs)


class CentreOut:
    """A fixed scan: the look that shows most new pixels, the nearest to the centre first."""

    deterministic = True

    def choose(
        self,
        observation: Observation,
        sensor: Sensor,
        seed: Seeds = 0,
        truth: Float[Tensor, "B C H W"] | None = None,
    ) -> Decision:
        designs = sensor.designs(observation)
        shown = footprints(observation, sensor)[:, 0]  # [D, H, W]
        axis = torch.arange(observation.size, device=observation.device, dtype=torch.float)
        axis = axis - axis.mean()
        area = shown.sum((1, 2)).clamp(min=1)
        down = (shown * axis[:, None]).sum((1, 2)) / area
        right = (shown * axis[None, :]).sum((1, 2)) / area
        off_centre = (down**2 + right**2).sqrt() / (2 * observation.size)  # below 1
        scores = _new_pixels(observation, sensor) - off_centre
        return Decision(designs[scores.argmax(1)], designs)


def _new_pixels(observation: Observation, sensor: Sensor) -> Float[Tensor, "B D"]:
    """How many unseen pixels each candidate look would show."""
    shown = footprints(observation, sensor)
    return torch.einsum("bchw,dchw->bd", 1 - observation.mask, shown)
