"""The fixed list of candidate looks that a learned policy values, as its network reads it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from boed.data.observation import Observation
from boed.foundation.checks import attribute
from boed.foundation.fingerprint import fingerprint, is_users
from boed.foundation.identity import DIGITS, identity
from boed.sensors.direct import DirectSensor
from boed.sensors.sensor import (
    Sensor,
    candidate_costs,
    candidates,
    footprints,
    new_readings,
    returns_readings,
)
from boed.sensors.travel import travels, trips

Shape = tuple[int, int, int]
"""Channels, height and width of scenes."""


@dataclass(frozen=True, eq=False, kw_only=True)
class CandidateLooks:
    """What a sensor offers, and what each look takes of a scene.

    Attributes:
        sensor: its class and noise, in words.
        shape: of the scenes.
        designs: the candidates, `[D, K]`.
        shown: which of R readings, or pixels, each takes, `[D, R]`.
        indirect: whether what is taken are readings and no pixels.
        picture: whether each look shows pixels of a picture: a scene with height and width.
        content: what tells the sensor from others of its class, where that is more than which
            pixels each look shows.
    """

    sensor: str
    shape: Shape
    designs: Float[Tensor, "D K"]
    shown: Float[Tensor, "D R"]
    indirect: bool
    picture: bool
    content: str = ""
    _cells: dict[tuple[int, int], tuple[Tensor, Tensor | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, sensor: Sensor, shape: Shape, device: torch.device | str = "cpu") -> Self:
        """Those of a sensor at scenes of a shape.

        Raises:
            ValueError: it is no sensor, or offers no candidate.
        """
        blank = Observation.nothing(1, shape[0], shape[1:], device=device)
        designs = candidates(sensor, blank)
        noise = float(attribute(sensor, "noise", 0))
        own = is_users(type(sensor)) or not isinstance(sensor, DirectSensor)
        return cls(
            sensor=type(sensor).__name__ + (f" with noise {noise:g}" if noise else ""),
            shape=shape,
            designs=designs,
            shown=footprints(sensor, blank, designs).to(blank.values),
            indirect=returns_readings(sensor, shape),
            picture=isinstance(sensor, DirectSensor) and min(shape[1:]) > 1,
            content=identity(sensor) if own else "",
        )

    def __len__(self) -> int:
        return len(self.designs)

    def to(self, device: torch.device | str) -> CandidateLooks:
        """The same on a device."""
        if self.designs.device == torch.device(device):
            return self
        designs, shown = self.designs.to(device), self.shown.to(device)
        return replace(self, designs=designs, shown=shown, _cells={})

    @cached_property
    def name(self) -> str:
        """What tells these looks from others: sensor, number and extent, scenes, and a checksum."""
        number, readings = self.shown.shape
        each = float(self.shown.sum(1).mean())
        told = (self.designs.float(), self.shown.float(), *filter(None, [self.content]))
        check = fingerprint(*told)[:DIGITS]
        channels, height, width = self.shape
        return (
            f"{self.sensor}, {number} looks at {each:.4g} of {readings} "
            f"{'readings' if self.indirect else 'pixels'}, scenes of {channels} x {height} x "
            f"{width} ({check})"
        )

    def check_same(self, sensor: Sensor, observation: Observation) -> None:
        """Refuse a sensor that does not offer these looks at what has been seen.

        Raises:
            ValueError: its candidates depend on that.
        """
        if not torch.equal(candidates(sensor, observation), self.designs):
            raise ValueError(
                f"sensor: the candidates of {type(sensor).__name__} depend on what has been seen; "
                "a trained network is for a sensor whose candidates are always the same"
            )

    def costs(self, sensor: Sensor) -> str:
        """What tells the costs of these looks from others: their range, and a checksum.

        Of ways it has those from the first look to each.
        """
        blank = Observation.nothing(1, self.shape[0], self.shape[1:], device=self.designs.device)
        cost = candidate_costs(sensor, blank, self.designs)[0]
        about = f"costs from {float(cost.min()):.4g} to {float(cost.max()):.4g}"
        ways = torch.zeros(0)
        if travels(sensor):
            first = self.designs[:1].expand_as(self.designs)
            ways = trips(sensor, first, self.designs)
            about += f" and up to {float(ways.max()):.4g} for a way"
        told = [f"{each:.4g}" for each in torch.cat([cost.cpu(), ways.cpu()]).tolist()]
        return f"{about} ({fingerprint(told)[:DIGITS]})"  # devices round differently

    @property
    def numbers(self) -> int:
        """How many numbers can be read of a scene: readings, or pixels of all channels."""
        return self.shown.shape[1] * (1 if self.indirect else self.shape[0])

    def new_share(self, observation: Observation) -> Float[Tensor, "B D"]:
        """The share of what each look takes that has not been taken of each scene yet."""
        if self._single is not None and observation.seen.shape[1] == self.shown.shape[1]:
            return (1 - observation.seen)[:, self._single]
        return new_readings(observation, self.shown) / self.shown.sum(1).clamp(min=1e-6)

    @cached_property
    def _single(self) -> Int64[Tensor, " D"] | slice | None:
        """The one reading that each look takes; None where some take more of them, or a part.

        A slice where each reading has its look, in their order: nothing needs to be gathered.
        """
        if not bool((self.shown.amax(1) == 1).all() and (self.shown.sum(1) == 1).all()):
            return None
        each = self.shown.argmax(1)
        order = torch.arange(self.shown.shape[1], device=each.device)
        return slice(None) if torch.equal(each, order) else each

    def read(
        self, observation: Observation
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B N"], Float[Tensor, "B R"]]:
        """All numbers read, 0 where none was, which of them were, and of which readings."""
        if self.indirect:
            if observation.readings is None or observation.taken is None:
                nothing = self.shown.new_zeros(len(observation), self.shown.shape[1])
                return nothing, nothing, nothing
            return observation.readings, (observation.taken > 0).float(), observation.taken
        known = (observation.mask > 0).float().expand_as(observation.values).flatten(1)
        return observation.values.flatten(1), known, observation.seen

    def over_cells(
        self, height: int, width: int
    ) -> tuple[Float[Tensor, "D c"], Int64[Tensor, " D"] | None]:
        """The share of each look's pixels that lies in each cell of a coarser grid.

        And the cell in which all of them lie, where that is so for each look: single pixels.
        """
        if (height, width) not in self._cells:
            pictures = self.shown.unflatten(1, self.shape[1:])[:, None]
            share = F.adaptive_avg_pool2d(pictures, (height, width)).flatten(1)
            share = share / share.sum(1, keepdim=True).clamp(min=1e-12)
            most = share.max(1)
            cell = most.indices if bool((most.values > 1 - 1e-6).all()) else None
            self._cells[height, width] = share, cell
        return self._cells[height, width]

    def mean_of(self, places: Float[Tensor, "B W h w"]) -> Float[Tensor, "B D W"]:
        """The mean of a map over what each look shows."""
        share, cell = self.over_cells(*places.shape[-2:])
        cells = places.flatten(2).transpose(1, 2)
        return share.to(cells) @ cells if cell is None else cells[:, cell]
