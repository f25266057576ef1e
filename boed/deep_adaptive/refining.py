"""Step-DAD: a trained policy, trained on while the experiment runs, for the looks that are left."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, fields, replace
from typing import Any

import pyro
import torch
from jaxtyping import Float
from torch import Tensor

from boed.deep_adaptive.contrastive import contrastive_loss
from boed.deep_adaptive.loss import first_design, single_look
from boed.deep_adaptive.network import DeepAdaptiveDesign
from boed.deep_adaptive.policy import DesignPolicy, History, stacked
from boed.eig.model.posterior import filtered
from boed.eig.model.pyro_model import Model, SiteModel, Sites
from boed.foundation.checks import at_least
from boed.foundation.randomness import derive
from boed.problems.problem import Experiment
from boed.training.config import PolicyTrainingConfig
from boed.training.loop import fit

MOVES = 5
"""Of each particle of the posterior whenever they are drawn anew."""


def refine(
    policy: DesignPolicy,
    problem: Experiment,
    history: History,
    *,
    settings: PolicyTrainingConfig,
    particles: int = 2**14,
) -> DesignPolicy:
    """The policy with weights for this experiment: the posterior stands in place of the prior.

    Algorithm 1 of Hedman et al. 2025 (Step-DAD): sPCE of the looks that are left, given what was
    seen. The global random state is left as it was, and so is `policy`.

    Args:
        policy: of a `DeepAdaptiveDesign`.
        problem: that it is for; it needs a likelihood.
        history: what was seen; some looks have to be left.
        settings: updates, batch, contrasts, seed; `looks` is the policy's.
        particles: of the posterior, by sequential Monte Carlo.

    Raises:
        ValueError: another problem, no look left, a policy without a network, or an outcome that
            the model cannot return.
    """
    network = copy.deepcopy(check_refines(policy, problem, particles))
    check_settings(policy, settings)
    left = policy.looks - len(history)
    if left < 1:
        raise ValueError(
            f"history has {len(history)} looks of {policy.looks}, expected some to be left"
        )
    if left % policy.at_once:
        raise ValueError(
            f"history has {len(history)} looks of {policy.looks}, of which policy {policy.name} "
            f"chooses {policy.at_once} at once; expected a multiple of that"
        )
    space = policy.space
    if history and space is not None:  # the way to the next look begins at the last one
        space = replace(space, start=torch.as_tensor(history[-1][0]).float())
    given = single_look(
        problem.model, network, problem.observation, target=problem.target, space=space
    )
    with torch.enable_grad(), torch.random.fork_rng(), pyro.validation_enabled(False):
        torch.manual_seed(derive(settings.seed, "refine"))
        if history:
            given = _conditioned(
                given, history, example=first_design(network, policy.space), particles=particles
            )
        going_on = _Continued(network, history)
        loss = contrastive_loss(given, going_on, left, settings=settings)
        fit(network, lambda _: loss(), settings)
    return replace(policy, network=network.eval())


def check_refines(policy: DesignPolicy, problem: Experiment, particles: int) -> DeepAdaptiveDesign:
    """The network of a policy that can be refined for a problem.

    Raises:
        ValueError: too few particles, another problem, or a policy without a network.
    """
    at_least(2, particles=particles)
    policy.check_for(problem, policy.looks)
    if not isinstance(policy.network, DeepAdaptiveDesign):
        raise ValueError(
            f"policy {policy.name} is a {type(policy.network).__name__}, which does not depend on "
            "what was seen; expected a DeepAdaptiveDesign"
        )
    return policy.network


def check_settings(policy: DesignPolicy, settings: PolicyTrainingConfig) -> None:
    """Refuse settings of a refinement that it cannot heed.

    Raises:
        ValueError: a budget, contrasts near the truth, or another number of looks at once than the
            policy's.
    """
    if settings.near:
        raise ValueError(
            f"near is {settings.near:g}: contrasts of a refinement are particles of the posterior, "
            "which are near the truth anyway; expected 0"
        )
    if settings.budget:
        raise ValueError(
            f"budget is {settings.budget:g}: a refinement follows gradients, which what no longer "
            "fits a budget has none of; expected a price in place of it"
        )
    if settings.at_once not in (1, policy.at_once):
        raise ValueError(
            f"at_once is {settings.at_once}, and policy {policy.name} chooses {policy.at_once} at "
            "once; expected the same"
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class StepDAD:
    """A trained policy that is refined during every experiment, for the looks that are left.

    It is what `boed.eig.model.sequential` takes, as `DesignPolicy` is. Each experiment that looks
    different at the time of a refinement has a training of its own.

    Attributes:
        policy: to begin with.
        problem: that it is for.
        settings: of each refinement.
        at: numbers of looks after which it is refined, each from what it was before.
        particles: of the posterior.

    Raises:
        ValueError: no such number, or one after which no look is left; as `refine`.
    """

    policy: DesignPolicy
    problem: Experiment
    settings: PolicyTrainingConfig
    at: tuple[int, ...]
    particles: int = 2**14
    _refined: dict[bytes, DesignPolicy] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        check_refines(self.policy, self.problem, self.particles)
        check_settings(self.policy, self.settings)
        times = range(0, self.policy.looks, self.policy.at_once)
        if not self.at or not all(each in times for each in self.at):
            raise ValueError(
                f"at is {self.at}, expected numbers of looks from 0 to {times[-1]}, since policy "
                f"{self.policy.name} is for {self.policy.looks}, {times.step} at once"
            )

    @property
    def looks(self) -> int:
        """T, for which the policy was trained."""
        return self.policy.looks

    def check_model(self, model: Model, looks: int | None = None) -> None:
        """Refuse another model, or more looks, as the policy does.

        Raises:
            ValueError: naming what differs.
        """
        self.policy.check_model(model, looks)

    def __call__(
        self, designs: Float[Tensor, "B t K"], outcomes: Float[Tensor, "B t *Y"]
    ) -> Float[Tensor, "B K"]:
        """The next design of each experiment.

        Raises:
            ValueError: as `refine`, in the middle of an experiment.
        """
        histories = [list(zip(*seen, strict=True)) for seen in zip(designs, outcomes, strict=True)]
        chosen = [self.of(history).next(history) for history in histories]
        return torch.stack(chosen).to(designs.dtype)

    def of(self, history: History) -> DesignPolicy:
        """The policy of an experiment after some looks."""
        times = [each for each in sorted(set(self.at)) if each <= len(history)]
        policy = self.policy
        for time in times:
            before = history[:time]
            looks = stacked(before)
            told = (each.detach().cpu().numpy().tobytes() for each in looks)
            key = b"".join(told)
            key = time.to_bytes(4, "big") + key
            if key not in self._refined:
                self._refined[key] = refine(
                    policy, self.problem, before, settings=self.settings, particles=self.particles
                )
            policy = self._refined[key]
        return policy


class _Continued:
    """A policy whose experiments have all seen the same beginning."""

    def __init__(self, network: DeepAdaptiveDesign, history: History) -> None:
        self.network, self.history = network, stacked(history) if history else None
        self.choose, self.update, self.expect = network.choose, network.update, network.expect

    @property
    def design_dim(self) -> int:
        return self.network.design_dim

    @property
    def at_once(self) -> int:
        return self.network.at_once

    def unit_at(self, design: Tensor) -> Tensor:
        return self.network.unit_at(design)

    def start(self, batch: int) -> Float[Tensor, "B E"]:
        summary = self.network.start(1)
        if self.history is not None:
            for design, outcome in zip(*(each[0] for each in self.history), strict=True):
                summary = self.network.update(summary, design[None], outcome[None])
        return summary.expand(batch, -1)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Conditioned(SiteModel):
    """A model whose latents are drawn from given ones, `[P, *E]`."""

    particles: Sites

    def draw_latents(self, designs: Tensor) -> Sites:
        """Draws with replacement, one for every design of the batch."""
        some = next(iter(self.particles.values()))
        index = torch.randint(len(some), designs.shape[:-1], device=some.device)
        return {name: value[index] for name, value in self.particles.items()}


def _conditioned(
    problem: SiteModel, history: History, *, example: Float[Tensor, " K"], particles: int
) -> SiteModel:
    """The model with the posterior in place of the prior."""
    designs, outcomes = stacked(history)
    posterior = filtered(
        problem, designs[0], outcomes[0], example=example, particles=particles, moves=MOVES
    )
    held: dict[str, Any] = {each.name: getattr(problem, each.name) for each in fields(SiteModel)}
    return _Conditioned(**held, particles=posterior.draw(particles))
