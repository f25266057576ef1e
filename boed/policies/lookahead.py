"""A policy that thinks one look further than BOED."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.completion.completer import Completer
from boed.data.observation import Observation
from boed.foundation.arguments import checked
from boed.foundation.checks import at_least
from boed.foundation.randomness import Seeds, derive, per_scene
from boed.policies.first_look import FirstLook
from boed.policies.informed import BOED
from boed.policies.policy import Decision, pick
from boed.sensors.sensor import Sensor, look, reads_new


@checked
@dataclass
class TwoStep:
    """The look that begins the best two looks, rather than the best one.

    value(c) = EIG(c) + E_y [max_c' EIG(c' | c, y)]: the second look is chosen after seeing what
    the first returned, y, which is taken from each completion in turn; the scene is then completed
    anew (Wu and Frazier 2019 do so for optimisation). It finds looks that say nothing about v but
    where to look next, which one step never values. It does not know how many looks are left:
    where the order of two looks makes no difference, it takes the one of higher EIG first.

    A scene costs m n completer calls of `n_after` completions, and m n times the classifications
    of one `BOED` decision with them. The best of many noisy estimates is too high on average, and
    more so the fewer completions: `n_after` should not be much below n.

    Attributes:
        policy: evaluates single looks: the first ones with its n completions, of which each is
            followed, and the second ones.
        m: how many first looks are followed, the most promising by their own EIG. A look without
            any of its own is sure to be among them only if all candidates are.
        n_after: completions after the first look; as many as the policy draws if not given.

    Raises:
        ValueError: `m` or `n_after` below 1, or a policy that counts EIG per cost, which does not
            add up over two looks.
    """

    policy: BOED
    m: int = 8
    n_after: int | None = None

    def __post_init__(self) -> None:
        n_after = self.policy.n if self.n_after is None else self.n_after
        at_least(1, m=self.m, n_after=n_after)
        if self.policy.per_cost:
            raise ValueError("policy has per_cost=True, expected a policy that maximises EIG")
        self._after = replace(self.policy, n=n_after)

    @property
    def deterministic(self) -> bool:
        """Whether the seed changes nothing but ties, as with retrieved completions."""
        return self.policy.deterministic

    @property
    def completer(self) -> Completer:
        """What draws the completions."""
        return self.policy.completer

    @property
    def first_look(self) -> FirstLook:
        """What it decides with when nothing has been seen."""
        return self.policy.first_look

    def choose(
        self,
        observation: Observation,
        sensor: Sensor,
        seed: Seeds = 0,
        *,
        truth: Float[Tensor, "B C H W"] | None = None,
    ) -> Decision:
        """The look of highest value for each scene.

        The decision's scores are the values in nats, NaN for looks that were not followed; its
        gains are those of the first look alone.
        """
        seeds = per_scene(seed, len(observation))
        decision = self.policy.choose(observation, sensor, seeds)
        assert decision.scores is not None
        different = len(observation)
        if not observation.seen.any():  # one first look for all scenes, as of BOED
            seeds, different = [derive("first look")] * different, 1
        values = [
            self._values(observation[b : b + 1], decision, b, sensor, seeds[b])
            for b in range(different)
        ]
        value = torch.stack(values).expand(len(observation), -1)
        chosen = _soonest(value, decision.scores, seeds)
        designs = decision.candidates[chosen]
        return replace(decision, designs=designs, index=chosen, scores=value, winners_curse=None)

    def _values(
        self, observation: Observation, decision: Decision, scene: int, sensor: Sensor, seed: int
    ) -> Float[Tensor, " D"]:
        """Value of every first look at one scene; NaN for those not followed."""
        assert decision.scores is not None
        assert decision.completions is not None
        eig, weights = decision.scores[scene], decision.completions.weights[:, scene]
        new = reads_new(sensor, observation, decision.candidates)[0]
        promising = eig.where(new | ~new.any(), torch.nan)
        followed, n = _most_promising(promising, self.m, seed), len(weights)
        number = len(followed)
        after = look(
            sensor,
            observation.repeat(number * n),
            decision.completions.scenes[:, scene].repeat(number, 1, 1, 1),
            design=decision.candidates[followed].repeat_interleave(n, 0),
            seeds=[derive(seed, "imagined", k) for k in range(n)] * number,
        )
        seeds = [derive(seed, "after", k) for k in range(n)]  # the same for every first look
        then = self._after.choose(after, sensor, seeds * number).chosen_score()
        assert then is not None
        future = then.unflatten(0, (number, n)) @ weights
        return torch.full_like(eig, torch.nan).index_put((followed,), eig[followed] + future)


def _soonest(
    value: Float[Tensor, "B D"],
    eig: Float[Tensor, "B D"],
    seeds: list[int],
    tolerance: float = 1e-4,
) -> Int64[Tensor, " B"]:
    """Index of the highest value; among those as good, that of highest EIG, lest it is put off."""
    known = value.nan_to_num(nan=-torch.inf)
    best = known >= known.amax(1, keepdim=True) - tolerance
    return pick(eig.where(best, -torch.inf), seeds)


def _most_promising(eig: Float[Tensor, " D"], m: int, seed: int) -> Int64[Tensor, " m"]:
    """The `m` looks of highest EIG among those evaluated; ties are broken at random."""
    left = eig.nan_to_num(nan=-torch.inf)[None]
    chosen: list[Tensor] = []
    for _ in range(min(m, int(left.isfinite().sum()))):
        chosen.append(pick(left, [seed]))
        left = left.index_fill(1, chosen[-1], -torch.inf)
    return torch.cat(chosen)
