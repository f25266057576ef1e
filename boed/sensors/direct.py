"""What sensors that see pixels share."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from boed.data.observation import Observation
from boed.foundation.randomness import Seeds, per_scene
from boed.sensors.scanner import Scanner, Shape, nearest
from boed.sensors.sensor import noise_fields


class DirectSensor(Scanner):
    """What sensors that see pixels share; each says which ones with `footprint`.

    A pixel that was seen keeps its first reading.

    Args:
        shape, designs, noise, limits: see `Scanner`.
        travel: cost of moving over one pixel, from where one look is to where the next one is.
        start: the design where the sensor stands before the first look, `[K]`; it is free to begin
            anywhere if not given.

    Raises:
        ValueError: a travel that is negative or infinite, a start that is no look of the sensor, or
            a start without travel.
    """

    per_pixel = 0.0
    start: Float[Tensor, " K"] | None = None

    def __init__(
        self,
        shape: Shape,
        designs: Float[Tensor, "D K"],
        noise: float = 0.0,
        *,
        limits: Float[Tensor, "2 K"] | None = None,
        travel: float = 0.0,
        start: Float[Tensor, " K"] | None = None,
    ) -> None:
        super().__init__(shape, designs, noise, limits=limits)
        if not 0 <= travel < float("inf"):
            raise ValueError(f"travel is {travel}, expected a cost per pixel of 0 or more")
        if start is not None:
            if travel == 0:
                raise ValueError("start is given, expected travel above 0 beside it")
            if start.ndim != 1:
                raise ValueError(f"start is {tuple(start.shape)}, expected one design [K]")
            try:
                self._check_design(start[None], 1)
            except ValueError as error:
                raise ValueError(f"start is {start.tolist()}: {error}") from error
        if travel > 0:  # what cannot travel holds nothing of it
            self.per_pixel, self.start = travel, start

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

    def place(self, design: Float[Tensor, "B K"]) -> Float[Tensor, "B A"]:
        """Where each look is, in pixels along each axis."""
        return nearest(design).float()

    def travel(self, a: Float[Tensor, "B K"], b: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
        """The straight way between two looks in pixels, at `per_pixel` each."""
        return self.per_pixel * (self.place(a) - self.place(b)).norm(dim=1)

    def cost(self, design: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
        """Exposed area: the fraction of the scene's pixels that the look shows."""
        return self.footprint(design).mean((1, 2, 3))
