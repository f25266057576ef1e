"""What each method of training a policy minimises, and what it trains beside the policy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boed.deep_adaptive.contrastive import contrastive_loss
from boed.deep_adaptive.experiments import run_experiments
from boed.deep_adaptive.loss import (
    check_reparametrised,
    first_design,
    outcome_score,
    price_of,
)
from boed.deep_adaptive.nearby import Nearby
from boed.deep_adaptive.network import DeepAdaptiveDesign
from boed.deep_adaptive.reinforced import ActorCritic
from boed.deep_adaptive.static_design import StaticDesign
from boed.eig.model.priors import check_prior
from boed.eig.model.pyro_model import SiteModel, Sites
from boed.eig.model.roll_outs import LogLikelihood
from boed.eig.model.targets import Targets
from boed.foundation.options import Whole
from boed.foundation.randomness import derive
from boed.foundation.registry import check_known
from boed.training.config import POLICY_METHODS, PolicyTrainingConfig

Trainable = DeepAdaptiveDesign | StaticDesign


@dataclass(frozen=True, eq=False)
class Objective:
    """A loss of torch's global random numbers, and all that it trains."""

    module: nn.Module
    loss: Callable[[], Float[Tensor, ""]]


def objective(
    method: str,
    problem: SiteModel,
    policy: Trainable,
    *,
    settings: PolicyTrainingConfig,
    likelihood: LogLikelihood,
    nearby: Nearby | None = None,
) -> Objective:
    """The loss of a method.

    Args:
        method: a name of `POLICY_METHODS`.
        problem: from `single_look`.
        policy: what is trained.
        settings: looks, batch, contrasts.
        likelihood: log-likelihoods of the contrasts.
        nearby: draws contrasts, from the prior alone if not given.

    Raises:
        ValueError: an unknown method, or one that cannot train such a policy or model.
    """
    check_known("method", method, POLICY_METHODS)
    if method in ("idad", "rl"):  # which compare the experiments of a batch with one another
        Whole(2).check("batch", settings.share)
    if settings.budget and method != "rl":
        raise ValueError(
            f"budget is {settings.budget:g}, and method {method!r} follows gradients, which what "
            "no longer fits a budget has none of; expected method 'rl', or a price in place of it"
        )
    if policy.at_once != settings.at_once:
        raise ValueError(
            f"at_once is {settings.at_once}, and the policy, a {type(policy).__name__}, chooses "
            f"{policy.at_once} at once; expected the same"
        )
    if settings.near and method in ("idad", "vsoed"):
        raise ValueError(
            f"near is {settings.near:g}, and method {method!r} draws no contrasts; expected 0, or "
            "one of dad, fixed, rl"
        )
    if method in ("dad", "fixed"):
        loss = contrastive_loss(
            problem,
            policy,
            settings.looks,
            settings=settings,
            likelihood=likelihood,
            nearby=nearby,
        )
        return Objective(policy, loss)
    if not isinstance(policy, DeepAdaptiveDesign):
        raise ValueError(
            f"method is {method!r} and the policy a {type(policy).__name__}, expected a "
            "DeepAdaptiveDesign; a StaticDesign is trained by 'fixed'"
        )
    if method == "rl":
        critic = ActorCritic(
            problem, policy, settings=settings, likelihood=likelihood, nearby=nearby
        )
        return Objective(critic, critic.loss)
    judge: nn.Module = (Critic if method == "idad" else Posterior)(problem, policy)

    def bound() -> Tensor:
        roll = run_experiments(
            problem, policy, settings.looks, batch=settings.share, limit=settings.limit
        )
        check_reparametrised(roll)
        gains = judge(roll.latents, policy.in_units(roll.designs, roll.outcomes))
        gains = gains - price_of(roll, settings.price)
        return -(gains + outcome_score(roll, gains.detach())).mean()

    return Objective(nn.ModuleDict({"policy": policy, "judge": judge}), bound)


def nearby_for(
    problem: SiteModel, policy: Trainable, settings: PolicyTrainingConfig
) -> Nearby | None:
    """What draws contrasts near the truth, where settings ask for it."""
    if not settings.near:
        return None
    with torch.random.fork_rng():
        torch.manual_seed(derive(settings.seed, "near"))
        return Nearby(problem, first_design(policy, problem.space), share=settings.near)


def _layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


class _Histories(nn.Module):
    """A summary of each history that the order of the looks does not change."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.looks = _layers(inputs, hidden, hidden)
        self.together = _layers(hidden, hidden, outputs)

    def forward(self, seen: Float[Tensor, "B T D"]) -> Float[Tensor, "B E"]:
        summary: Tensor = self.together(self.looks(seen).sum(1))
        return summary


class Critic(nn.Module):
    """iDAD's: a separable critic U(theta, h_T) of InfoNCE, so that no likelihood is needed.

    gain = U(theta, h) - log 1/B sum_b exp U(theta_b, h), whose mean is a lower bound on the EIG of
    all looks, and at most ln B. Ivanova et al. 2021 (iDAD), Sec. 4.1; the other experiments' theta
    are the contrasts.

    Args:
        problem: the model; its outcomes have to be differentiable in the design.
        policy: whose width it takes.
        size: of what is compared.
    """

    def __init__(self, problem: SiteModel, policy: DeepAdaptiveDesign, size: int = 32) -> None:
        super().__init__()
        config = policy.config
        self.targets = Targets(problem, _legal(problem, policy))
        self.histories = _Histories(config.design_dim + config.outcome_dim, config.hidden, size)
        self.of_target = _layers(self.targets.width, config.hidden, size)

    def forward(self, latents: Sites, seen: Float[Tensor, "B T D"]) -> Float[Tensor, " B"]:
        """Gain of each experiment in nats."""
        scores = self.histories(seen) @ self.of_target(self.targets(latents)).T
        gains: Tensor = scores.diagonal() - scores.logsumexp(1) + math.log(len(seen))
        return gains


def _legal(problem: SiteModel, policy: DeepAdaptiveDesign) -> Float[Tensor, " K"]:
    """A design that the model can be tried with."""
    middle = policy.middle
    return middle if problem.space is None else problem.space.nearest(middle[None])[0]


class Posterior(nn.Module):
    """vsOED's: a mixture of normal laws q(theta | h_T), trained together with the policy.

    gain = log q(theta | h_T) - log p(theta), whose mean is a lower bound on the EIG of all looks
    (Barber and Agakov 2003; Shen, Dong and Huan 2023, vsOED). Here its gradient goes through the
    outcomes, in place of their actor-critic.

    Args:
        problem: the model; its targets have to be continuous.
        policy: whose width it takes.
        components: of the mixture.

    Raises:
        ValueError: a target that is not continuous, or whose prior depends on nuisances.
    """

    example: Tensor

    def __init__(self, problem: SiteModel, policy: DeepAdaptiveDesign, components: int = 8) -> None:
        super().__init__()
        config = policy.config
        self.problem, self.components = problem, components
        example = _legal(problem, policy)
        check_prior(problem, example[None], instead="method 'idad'")
        self.register_buffer("example", example)
        self.targets = Targets(problem, example)
        for kind in self.targets.kinds:
            if kind.family != "real":
                raise ValueError(
                    f"target: site {kind.name!r} is not continuous, for which method 'vsoed' has "
                    "no posterior; take 'dad', 'idad' or 'rl'"
                )
        outputs = components * (1 + 2 * self.targets.width)
        self.histories = _Histories(config.design_dim + config.outcome_dim, config.hidden, outputs)

    def forward(self, latents: Sites, seen: Float[Tensor, "B T D"]) -> Float[Tensor, " B"]:
        """Gain of each experiment in nats."""
        rows, width = self.targets(latents), self.targets.width
        weights, means, log_scales = self.histories(seen).split(
            [self.components, self.components * width, self.components * width], -1
        )
        means = means.unflatten(-1, (-1, width))
        scales = log_scales.unflatten(-1, (-1, width)).clamp(-7, 3).exp()
        each = torch.distributions.Normal(means, scales, validate_args=False)
        density = each.log_prob(rows[:, None]).sum(-1) + weights.log_softmax(-1)
        where = self.example.expand(len(rows), -1)
        target = {name: latents[name] for name in self.problem.target}
        prior = self.problem.log_prior(target, where) + self.targets.log_volume(latents)
        return density.logsumexp(-1) - prior
