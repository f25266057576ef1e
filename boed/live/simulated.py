"""An instrument that is not there: it reads a scene that is known."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from boed.foundation.randomness import derive, per_scene
from boed.sensors.reading import read
from boed.sensors.sensor import Sensor


class Simulated:
    """What an instrument would return that sees a scene, with the noise of `acquire`.

    Args:
        sensor: its model.
        scene: the whole scene, which no policy sees.
        truth: number of the right answer, or 0 or 1 for each finding.
        seed: of the noise.
    """

    def __init__(
        self,
        sensor: Sensor,
        scene: Float[Tensor, "1 C H W"],
        *,
        truth: int | list[int],
        seed: int = 0,
    ) -> None:
        self.sensor, self.scene, self.truth = sensor, scene, truth
        self._noise = derive(per_scene(seed, 1)[0], "noise")

    def read(self, design: Sequence[float]) -> Tensor:
        """The reading of one look, of `boed.sensors.reading.reading_shape`."""
        return read(self.sensor, self.scene, torch.tensor(design), seed=self._noise)
