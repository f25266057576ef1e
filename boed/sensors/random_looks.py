"""Random looks of any sensor: what a classifier of partly seen scenes is trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.data.looking import EVERYTHING, MOST
from boed.data.observation import Observation
from boed.foundation.checks import attribute
from boed.sensors.direct import DirectSensor
from boed.sensors.indirect import IndirectSensor
from boed.sensors.sensor import Sensor, candidate_masks, candidates, footprints, look


@dataclass(frozen=True, eq=False)
class RandomLooks:
    """Random looks of a sensor, some spread evenly and some crowded around the middle.

    Policies crowd: a classifier trained on uniformly random looks alone has hardly ever seen what
    they look at. How crowded a scene's looks are is drawn with them.

    Attributes:
        sensor: what looks; its noise is drawn anew for every scene.
        shape: channels, height and width of the scenes.
    """

    sensor: Sensor
    shape: tuple[int, int, int]

    def __repr__(self) -> str:
        return f"random looks of {type(self.sensor).__name__}, uniform to central"

    def __call__(
        self,
        scenes: Float[Tensor, "B C H W"],
        counts: Int64[Tensor, " B"],
        generator: torch.Generator | None = None,
    ) -> Observation:
        """Each scene after `counts` different looks, after all of them where that is -1."""
        number = len(self._off_centre)
        width = torch.rand(len(scenes), 1, generator=generator).mul(4).sub(2.5).exp()
        ticket = -torch.rand(len(scenes), number, generator=generator).log()
        order = (ticket.log() + self._off_centre / width).argsort(1)
        counts = torch.where(counts == EVERYTHING, number, counts).clamp(max=number)
        if self._at_once is not None:
            return self._together(scenes, order.argsort(1) < counts[:, None])
        return self._one_by_one(scenes, order, counts, generator)

    def _together(self, scenes: Tensor, chosen: Tensor) -> Observation:
        """Looks of which each shows what it shows whatever was seen before."""
        assert self._at_once is not None
        seen = (chosen.float() @ self._at_once > 0).float().to(scenes.device)
        if isinstance(self.sensor, DirectSensor):
            return Observation.of(scenes, seen.unflatten(1, scenes.shape[-2:])[:, None])
        assert isinstance(self.sensor, IndirectSensor)
        readings = self.sensor.forward(scenes) * seen
        picture = self.sensor.reconstruct(readings, seen)
        return Observation(picture, self.sensor.shown(seen), readings=readings, taken=seen)

    def _one_by_one(
        self,
        scenes: Tensor,
        order: Int64[Tensor, "B D"],
        counts: Int64[Tensor, " B"],
        generator: torch.Generator | None,
    ) -> Observation:
        seeds = torch.randint(2**31, (len(scenes),), generator=generator).tolist()
        observation = Observation.nothing_of(scenes)
        designs = self._designs.to(scenes.device)
        for step in range(int(counts.max())):
            rows = (counts > step).nonzero()[:, 0]
            after = look(
                self.sensor,
                observation[rows],
                scenes[rows],
                design=designs[order[rows, step].to(designs.device)],
                seeds=[seeds[row] for row in rows.tolist()],
            )
            observation = observation.with_rows(rows.to(scenes.device), after)
        return observation

    @cached_property
    def most(self) -> int:
        """The largest number of looks to train with.

        It is `MOST`; of looks so small that these show less than a tenth of the scene it is as many
        as show what `MOST` squares would.
        """
        share = float(footprints(self.sensor, self._blank, self._designs).float().mean())
        if share * MOST > 0.1:
            return MOST
        wanted = math.ceil(MOST / 16 / max(share, 1e-6) - 1e-6)
        return max(min(wanted, len(self._designs)), MOST)

    @cached_property
    def _blank(self) -> Observation:
        return Observation.nothing(1, self.shape[0], self.shape[1:])

    @cached_property
    def _designs(self) -> Float[Tensor, "D K"]:
        return candidates(self.sensor, self._blank)

    @cached_property
    def _off_centre(self) -> Float[Tensor, " D"]:
        """Distance of what each candidate shows from the middle of the scene, 0 to 1.

        All 0 where the picture is no picture, as in a table, or where all lie in the middle.
        """
        height, width = self.shape[1:]
        if min(height, width) == 1:
            return torch.zeros(len(self._designs))
        masks = candidate_masks(self.sensor, self._blank, self._designs).float()
        total = masks.sum((1, 2)).clamp(min=1e-6)
        row = (masks.sum(2) @ (torch.arange(height) + 0.5)) / total - height / 2
        column = (masks.sum(1) @ (torch.arange(width) + 0.5)) / total - width / 2
        distance = torch.hypot(row, column)
        return distance / distance.max().clamp(min=1e-6)

    @cached_property
    def _at_once(self) -> Float[Tensor, "D R"] | None:
        """What each candidate takes, for sensors of ours without noise; None for others."""
        ours = isinstance(self.sensor, DirectSensor | IndirectSensor)
        if not ours or attribute(self.sensor, "noise", 0) > 0:
            return None
        blank = Observation.nothing(len(self._designs), self.shape[0], self.shape[1:])
        return self.sensor.observe(blank, blank.values, self._designs).seen
