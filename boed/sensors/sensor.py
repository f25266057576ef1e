"""The protocol that a sensor fulfils."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from data.observation import Observation


@runtime_checkable
class Sensor(Protocol):
    """What can be looked at, what a look returns and what it costs.

    A design is one row of a tensor `[D, K]`; everything is vectorised over the batch.
    """

    def designs(self, observation: Observation) -> Float[Tensor, "D K"]:
        """The candidate designs, the same for every scene of the batch."""
        ...

    def measure(
        self, scene: Float[Tensor, "B C H W"], design: Float[Tensor, "B K"]
    ) -> Float[Tensor, "B ..."]:
        """What the look `design[b]` returns of `scene[b]`."""
        ...

    def observe(
        self,
        observation: Observation,
        scene: Float[Tensor, "B C H W"],
        design: Float[Tensor, "B K"],
    ) -> Observation:
        """The observation after the look `design[b]` at `scene[b]`: f_{c_1..c_t} of Eq. 17."""
        ...

    def cost(self, design: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
        """What a look costs, such as dose or time."""
        ...
