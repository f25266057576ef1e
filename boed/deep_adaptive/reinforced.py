"""A policy learned by reinforcement: for designs, or outcomes, without a gradient."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boed.deep_adaptive.experiments import run_experiments
from boed.deep_adaptive.loss import contrast, price_of
from boed.deep_adaptive.nearby import Nearby
from boed.deep_adaptive.network import DeepAdaptiveDesign
from boed.eig.model.design_space import DesignSpace, fits
from boed.eig.model.pyro_model import SiteModel
from boed.eig.model.roll_outs import LogLikelihood
from boed.training.config import PolicyTrainingConfig

TRIED = 1024
"""Designs of which one has to be within the budget."""


class ActorCritic(nn.Module):
    """Advantage actor-critic (Mnih et al. 2016) whose reward is sPCE, as in Blau et al. 2022.

    Rewards are the increments of sPCE with each look, less what the looks cost; the critic predicts
    what is to come from every summary of the history (generalised advantage estimation, Schulman
    et al. 2016). The policy explores around its design: by normal noise in its own units, or by the
    probabilities of a finite set.

    Args:
        problem: the model; no gradient in the design is needed.
        policy: what is trained.
        settings: looks, batch, contrasts.
        likelihood: log-likelihoods of the contrasts.
        smoothing: lambda of the advantages.
        entropy: nats of reward for a nat of exploration.

    Raises:
        ValueError: the budget is too small for any first look.
    """

    def __init__(
        self,
        problem: SiteModel,
        policy: DeepAdaptiveDesign,
        *,
        settings: PolicyTrainingConfig,
        likelihood: LogLikelihood,
        nearby: Nearby | None = None,
        smoothing: float = 0.95,
        entropy: float = 0.002,
    ) -> None:
        super().__init__()
        self.problem, self.settings, self.likelihood = problem, settings, likelihood
        self.nearby = nearby
        self.smoothing, self.entropy = smoothing, entropy
        self.policy = policy
        if settings.budget:
            check_pays(problem.space or DesignSpace(), policy, settings.budget)
        self.log_std = nn.Parameter(torch.full((policy.config.design_dim,), -1.0))
        self.value = nn.Sequential(
            nn.Linear(policy.summary + 1, policy.config.hidden),
            nn.ReLU(),
            nn.Linear(policy.config.hidden, 1),
        )

    def loss(self) -> Float[Tensor, ""]:
        """The actor's and the critic's losses, less the reward for exploring."""
        looks, batch = self.settings.looks, self.settings.share
        walk = _Walk(self)
        roll = run_experiments(self.problem, walk, looks, batch=batch, budget=self.settings.most)
        contrasted = contrast(
            self.problem,
            roll,
            self.settings.contrasts,
            likelihood=self.likelihood,
            nearby=self.nearby,
            by_look=True,
        )
        gain = contrasted.expected - price_of(roll, self.settings.price)
        values, chances = torch.stack(walk.values), torch.stack(walk.log_probs)  # [T, B]
        live = torch.ones_like(values, dtype=torch.bool)  # a look too dear counts, none after it
        if roll.made is not None:
            live[1:] = roll.made.mT[:-1]
        assert contrasted.before is not None
        gained = contrasted.before.mT  # the critic is asked what comes on top
        known = (gained + values.detach()).where(live, gain)  # when all is over, the gain is it
        advantages = self._advantages(known, gain)
        to_come = known + advantages - gained
        critic = (values - to_come)[live].square().mean() / to_come[live].var().clamp(min=1e-6)
        advantages = advantages.where(live, 0)
        mean = advantages.sum(1, keepdim=True) / live.sum(1, keepdim=True).clamp(min=1)
        advantages = (advantages - mean).where(live, 0) / advantages[live].std().clamp(min=1e-6)
        actor = -(chances * advantages).sum(0).mean()
        entropies = torch.stack(walk.entropies).where(live, 0).sum(0).mean()
        return actor + 0.5 * critic - self.entropy * entropies

    def _advantages(
        self, values: Float[Tensor, "T B"], gain: Float[Tensor, " B"]
    ) -> Float[Tensor, "T B"]:
        """sum_k lambda^k (V(s_{t+k+1}) - V(s_{t+k})); after the last look V is `gain`."""
        rises = torch.cat([values[1:], gain[None]]) - values
        advantages = [rises[-1]]
        for rise in rises[:-1].flip(0):
            advantages.append(rise + self.smoothing * advantages[-1])
        return torch.stack(advantages[::-1])


def check_pays(space: DesignSpace, policy: DeepAdaptiveDesign, budget: float) -> None:
    """Refuse a budget that pays for no first look.

    Of designs that are neither a set nor within bounds, those that the policy could begin with are
    tried: some around its first.

    Raises:
        ValueError: naming the cheapest look.
    """
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        if space.designs is not None:
            some = space.permitted
        elif space.bounds is not None:
            some = space.draw(TRIED)
        else:
            raw = policy.emit(policy.start(TRIED))
            some = policy.within(raw + torch.randn_like(raw))
        cheapest = float(space.costs(some).min())
    if not fits(cheapest, budget):
        raise ValueError(
            f"budget is {budget:g}, and the cheapest of {len(some)} first looks costs "
            f"{cheapest:g}; expected enough for one"
        )


class _Walk:
    """A policy that explores, and remembers how likely its choices were. For one roll-out."""

    def __init__(self, learner: ActorCritic) -> None:
        self.learner, self.policy = learner, learner.policy
        self.values: list[Tensor] = []
        self.log_probs: list[Tensor] = []
        self.entropies: list[Tensor] = []

    @property
    def design_dim(self) -> int:
        return self.policy.design_dim

    @property
    def at_once(self) -> int:
        return self.policy.at_once

    def unit_at(self, design: Tensor) -> Tensor:
        return self.policy.unit_at(design)

    def start(self, batch: int) -> Tensor:
        return self.policy.start(batch)

    def update(self, summary: Tensor, design: Tensor, outcome: Tensor) -> Tensor:
        return self.policy.update(summary, design, outcome)

    def expect(self, summary: Tensor, design: Tensor) -> Tensor:
        return self.policy.expect(summary, design)

    def choose(self, summary: Float[Tensor, "B E"]) -> Float[Tensor, "B K"]:
        raw, learner = self.policy.emit(summary), self.learner
        done = summary.new_full((len(summary), 1), len(self.values) / learner.settings.looks)
        self.values.append(learner.value(torch.cat([summary, done], -1))[:, 0])
        if self.policy.config.designs is None:
            law: torch.distributions.Distribution = torch.distributions.Independent(
                torch.distributions.Normal(raw, learner.log_std.exp(), validate_args=False), 1
            )
            drawn = law.sample()
            design = self.policy.within(drawn)
        else:
            law = torch.distributions.Categorical(logits=raw, validate_args=False)
            drawn = law.sample()
            design = self.policy.candidates[drawn]
        self.log_probs.append(law.log_prob(drawn))
        self.entropies.append(law.entropy())
        return design.detach()
