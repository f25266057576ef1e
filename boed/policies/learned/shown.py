"""What a trained policy shows of scenes: what a classifier that works with it should learn from."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.data.looking import MOST
from boed.data.observation import Observation
from boed.foundation.fingerprint import fingerprint
from boed.foundation.identity import DIGITS
from boed.policies.learned.looks import CandidateLooks
from boed.policies.learned.network import LookNet
from boed.policies.learned.situations import roll_out
from boed.sensors.random_looks import RandomLooks


@dataclass(frozen=True, eq=False)
class PolicyLooks:
    """Looks where a policy looks, at some of the scenes, and random ones at the others.

    A classifier that has seen what the policy shows it answers better there; random looks keep it
    fit for others, and for a policy that is trained for it in turn.

    Attributes:
        network: the policy, of the same sensor.
        others: random looks.
        share: of the scenes that are shown by the policy.
        explore: probability that it takes a random look all the same.

    Raises:
        ValueError: the policy was trained for other looks.
    """

    network: LookNet
    others: RandomLooks
    _: KW_ONLY
    share: float = 0.5
    explore: float = 0.1

    def __post_init__(self) -> None:
        self.network.eval().requires_grad_(False)
        self.network.check_looks(self.looks)

    @property
    def most(self) -> int:
        """The largest number of looks to train with."""
        return self.others.most

    @property
    def horizon(self) -> int:
        """The most looks that the policy takes: as many as in its training, or `MOST`."""
        return max(int(self.network.provenance.get("fit", {}).get("looks", 0)), MOST)

    @property
    def repeats(self) -> int:
        """How often each scene stands in a batch of a training: many looks serve several times."""
        return max(self.horizon // 4, 1)

    def __repr__(self) -> str:
        return f"{self.share:.0%} looks of the {self.network.kind()}, else {self.others!r}"

    @property
    def facts(self) -> dict[str, Any]:
        """What tells it from others: the policy's checksum."""
        return {"policy": fingerprint(self.network)[:DIGITS]}

    @cached_property
    def looks(self) -> CandidateLooks:
        """The sensor's candidates."""
        return CandidateLooks.of(self.others.sensor, self.others.shape)

    def __call__(
        self,
        scenes: Float[Tensor, "B C H W"],
        counts: Int64[Tensor, " B"],
        generator: torch.Generator | None = None,
    ) -> Observation:
        """Each scene after `counts` looks, after all of them where that is -1.

        More looks than `horizon` are random ones. At a scene that stands several times in a row the
        policy looks once, up to the highest of its counts.
        """
        observation = self.others(scenes, counts, generator)
        first = _first_of_equals(scenes)
        shown = (torch.rand(len(scenes), generator=generator) < self.share)[first]
        shown &= (counts > 0) & (counts <= self.horizon)
        seed = int(torch.randint(2**31, (), generator=generator))
        if not shown.any():
            return observation
        rows = shown.nonzero()[:, 0]
        looked, which = first[rows].unique(return_inverse=True)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            rolled = roll_out(
                self.network.to(scenes.device),
                scenes[looked],
                self.looks.to(scenes.device),
                sensor=self.others.sensor,
                steps=int(counts[rows].max()),
                explore=self.explore,
                seeds=torch.randint(2**31, (len(looked),)).tolist(),
            )
        for count in counts[rows].unique().tolist():
            these = (counts[rows] == count).nonzero()[:, 0]
            seen = rolled.before[count][which[these].to(scenes.device)]
            observation = observation.with_rows(rows[these].to(scenes.device), seen)
        return observation


def _first_of_equals(scenes: Float[Tensor, "B C H W"]) -> Int64[Tensor, " B"]:
    """For each scene the first of those that stand before it and are the same."""
    begins = torch.ones(len(scenes), dtype=torch.bool)
    begins[1:] = (scenes[1:] != scenes[:-1]).flatten(1).any(1).cpu()
    return torch.arange(len(scenes)).where(begins, 0).cummax(0).values
