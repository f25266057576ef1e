"""Policies that do not look at what they see: random scanning and a fixed scan."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from boed.data.observation import Observation
from boed.foundation.randomness import Seeds, per_scene
from boed.policies.policy import Decision, pick
from boed.sensors.sensor import Sensor, candidates, footprints, new_readings, reads_new


class Random:
    """A look drawn uniformly from the candidates that read anything new."""

    def choose(
        self,
        observation: Observation,
        sensor: Sensor,
        seed: Seeds = 0,
        *,
        truth: Float[Tensor, "B C H W"] | None = None,
    ) -> Decision:
        designs = candidates(sensor, observation)
        new = reads_new(sensor, observation, designs)
        chosen = pick(new.float(), per_scene(seed, len(observation)))
        return Decision(designs[chosen], candidates=designs, index=chosen)


class CentreOut:
    """A fixed scan: the look that shows most new pixels, the nearest to the centre first."""

    deterministic = True

    def choose(
        self,
        observation: Observation,
        sensor: Sensor,
        seed: Seeds = 0,
        *,
        truth: Float[Tensor, "B C H W"] | None = None,
    ) -> Decision:
        designs = candidates(sensor, observation)
        shown = footprints(sensor, observation, designs)  # [D, R]
        new = new_readings(observation, shown)
        direct = observation.taken is None and shown.shape[1] == observation.mask[0].numel()
        off_centre = _off_centre(shown, observation.shape) if direct else 0
        chosen = (new - off_centre).argmax(1)
        return Decision(designs[chosen], candidates=designs, index=chosen)


def _off_centre(shown: Float[Tensor, "D R"], shape: tuple[int, int]) -> Float[Tensor, " D"]:
    """Distance of each look's mean pixel from the centre of the scene, below 1."""
    pixels = shown.unflatten(1, shape)
    area = pixels.sum((1, 2)).clamp(min=1)
    axes = [torch.arange(length, device=shown.device) - (length - 1) / 2 for length in shape]
    down = (pixels.sum(2) @ axes[0]) / area
    right = (pixels.sum(1) @ axes[1]) / area
    return (down**2 + right**2).sqrt() / (2 * max(shape))
