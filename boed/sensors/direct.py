"""What sensors that see pixels share."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from boed.data.observation import Observation
from boed.foundation.randomness import Seeds, per_scene
from boed.sensors.scanner import Scanner
from boed.sensors.sensor import noise_fields


class DirectSensor(Scanner):
    """What sensors that see pixels share; each says which ones with `footprint`.

    A pixel that was seen keeps its first reading.
    """

    def footprint(self, design: Float[Tensor, "B K"]) -> Float[Tensor, "B 1 H W"]:
        """1 on the pixels that each look shows."""
        raise NotImplementedError

    def observe(
        self,
        observation: Observation,
        scene: Float[Tensor, "B C H W"],
        design: Float[Tensor, "B K"],
        *,
        seed: Seeds = 0,
    ) -> Observation:
        """The observation with the pixels of each look added.

        Raises:
            ValueError: a scene of another size, designs that are no looks of this sensor, or an
                observation with readings of an indirect sensor.
        """
        self._check(scene, "scene")
        self._check_design(design, len(scene))
        shown = self.footprint(design)
        if self.noise > 0:
            field = noise_fields(per_scene(seed, len(scene)), *scene.shape[1:])
            scene = scene + self.noise * field.to(scene)
        return observation.with_seen(scene, shown * (1 - observation.mask))

    def cost(self, design: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
        """Exposed area: the fraction of the scene's pixels that the look shows."""
        return self.footprint(design).mean((1, 2, 3))
