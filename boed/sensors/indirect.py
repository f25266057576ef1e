"""What sensors share that see no pixels but linear readings of the scene."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from boed.data.observation import Observation
from boed.foundation.randomness import Seeds, per_scene
from boed.sensors.scanner import Scanner
from boed.sensors.sensor import noise_fields


class IndirectSensor(Scanner):
    """A sensor of R linear readings, y = A x + noise, of which each look takes some.

    A subclass gives the operator A and its adjoint, and says which readings a look takes. What a
    classifier is shown is the reconstruction from the readings so far. A reading's noise depends
    on the scene's seed alone, not on the look that takes it.
    """

    def forward(self, scene: Float[Tensor, "B C H W"]) -> Float[Tensor, "B R"]:
        """All readings without noise, A x."""
        raise NotImplementedError

    def adjoint(self, readings: Float[Tensor, "B R"]) -> Float[Tensor, "B C H W"]:
        """The adjoint of `forward`: <A x, y> = <x, A^T y>."""
        raise NotImplementedError

    def taken(self, design: Float[Tensor, "B K"]) -> Float[Tensor, "B R"]:
        """1 for the readings that each look takes.

        R may be that of one channel where channels are read alike, one after the other.
        """
        raise NotImplementedError

    def reconstruct(
        self, readings: Float[Tensor, "B R"], taken: Float[Tensor, "B R"]
    ) -> Float[Tensor, "B C H W"]:
        """What can be shown of the scene: the back-projection unless a sensor knows better."""
        return self.adjoint(readings * taken)

    def shown(self, taken: Float[Tensor, "B R"]) -> Float[Tensor, "B 1 H W"]:
        """A picture of what was taken, beside the reconstruction in what a network reads."""
        raise NotImplementedError

    def observe(
        self,
        observation: Observation,
        scene: Float[Tensor, "B C H W"],
        design: Float[Tensor, "B K"],
        *,
        seed: Seeds = 0,
    ) -> Observation:
        """The observation with the readings of each look added; a reading is taken once.

        Raises:
            ValueError: a scene of another size, designs that are no looks of this sensor, or an
                observation by another sensor.
        """
        self._check(scene, "scene")
        self._check_design(design, len(scene))
        read = self.forward(scene)
        if self.noise > 0:
            field = noise_fields(per_scene(seed, len(scene)), read.shape[1])
            read = read + self.noise * field.to(read)
        now = self.taken(design)
        return self.with_readings(observation, read, now.repeat(1, read.shape[1] // now.shape[1]))

    def with_readings(
        self,
        observation: Observation,
        readings: Float[Tensor, "B R"],
        taken: Float[Tensor, "B R"],
    ) -> Observation:
        """The observation with the readings added that were `taken`; the first one counts.

        Raises:
            ValueError: an observation by another sensor.
        """
        before, known = self._so_far(observation, readings)
        both = torch.maximum(before, taken)
        readings = torch.where(before > 0, known, readings) * both
        return Observation(
            self.reconstruct(readings, both), self.shown(both), readings=readings, taken=both
        )

    def cost(self, design: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
        """One for each look."""
        return torch.ones(len(design), device=design.device)

    def _so_far(self, observation: Observation, read: Tensor) -> tuple[Tensor, Tensor]:
        """What was taken, and read, before."""
        if observation.taken is None or observation.readings is None:
            if observation.mask.any():
                raise ValueError(
                    f"observation has pixels that were seen but no readings; a "
                    f"{type(self).__name__} goes on from its own observations, or from nothing"
                )
            return torch.zeros_like(read), torch.zeros_like(read)
        if observation.taken.shape != read.shape:
            raise ValueError(
                f"observation has {tuple(observation.taken.shape)} readings; this "
                f"{type(self).__name__} has {tuple(read.shape)}"
            )
        return observation.taken, observation.readings
