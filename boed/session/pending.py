"""A sensor that has looks under way, so that the next one is chosen for what it adds to them."""

from __future__ import annotations

from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from boed.data.observation import Observation
from boed.sensors.sensor import Sensor, candidates, footprints, look, new_readings


class Pending:
    """A sensor whose every look comes with the pending ones.

    What a policy imagines of a look is then what is known after that look and all pending ones:
    its EIG is the joint EIG of them, its cost the cost of them all, and the look of highest EIG is
    the greedy choice of a batch (Nemhauser, Wolsey & Fisher 1978). Looks that would add nothing are
    no candidates, nor are those that are left out.

    Attributes:
        sensor: which looks.
        whole: the same, for policies that know all of its candidates.
        pending: the looks under way, `[P, K]`.
        without: looks that are not offered, such as failed ones, `[Q, K]`.
        reserved: what the pending looks cost together.
    """

    def __init__(
        self,
        sensor: Sensor,
        pending: Float[Tensor, "P K"],
        *,
        without: Float[Tensor, "Q K"],
        reserved: float,
    ) -> None:
        self.sensor, self.pending, self.without = sensor, pending, without
        self.reserved = reserved

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "sensor":
            raise AttributeError(name)
        return getattr(self.sensor, name)

    def designs(self, observation: Observation) -> Float[Tensor, "D K"]:
        """The candidates that read what neither was read nor will be by the pending looks.

        Those that are not left out where none does, as a policy that thinks ahead may imagine.
        """
        offered = candidates(self.sensor, observation)
        allowed = offered[~self._left_out(offered)]
        new = (self.unread(observation, allowed) > 0).any(0)
        return allowed[new] if new.any() else allowed

    def unread(
        self, observation: Observation, designs: Float[Tensor, "D K"]
    ) -> Float[Tensor, "B D"]:
        """How many readings each look takes that neither were taken nor will be by pending ones.

        None for looks that are left out.
        """
        shown = footprints(self.sensor, observation, designs)
        shown = shown * ~self._left_out(designs)[:, None]
        if len(self.pending):
            taken = footprints(self.sensor, observation, self.pending.to(designs)).amax(0)
            shown = shown * (taken <= 0)
        return new_readings(observation, shown)

    def observe(
        self,
        observation: Observation,
        scene: Float[Tensor, "B C H W"],
        design: Float[Tensor, "B K"],
        *,
        seed: list[int] | int = 0,
    ) -> Observation:
        """The observation after the pending looks and this one."""
        seeds = [seed] * len(scene) if isinstance(seed, int) else seed
        for each in [*self.pending.to(design), None]:
            now = design if each is None else each.expand(len(scene), -1)
            observation = look(self.sensor, observation, scene, design=now, seeds=seeds)
        return observation

    def cost(self, design: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
        """Of the look and the pending ones."""
        return self.sensor.cost(design) + self.reserved

    def _left_out(self, designs: Float[Tensor, "D K"]) -> Bool[Tensor, " D"]:
        return (designs[:, None] == self.without.to(designs)).all(-1).any(1)
