"""Experiments of several looks in a Pyro model, and how likely others make what came out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boed.eig.model.design_space import DesignSpace
from boed.eig.model.nested import slices
from boed.eig.model.pyro_model import SiteModel, Sites
from boed.eig.model.sequence_model import check_possible
from boed.foundation.checks import describe, more_than
from boed.foundation.options import COUNT

SequencePolicy = Callable[[Tensor, Tensor], Tensor]
"""`policy(designs [B, t, *K], outcomes [B, t, *Y]) -> next designs [B, *K]`; t is 0 at first.

Where several looks are chosen at once it returns `[B, at_once, *K]`.
"""


@dataclass(frozen=True, eq=False, kw_only=True)
class RollOut:
    """Looks chosen by a policy and what they returned, B scenes of T looks.

    Attributes:
        latents: what was true, every latent site `[B, *event]`.
        designs: `[B, T, *K]`.
        outcomes: `[B, T, *Y]`.
        log_likelihoods: log p(y_t | theta, d_t) of each look under the truth, nats, `[B, T]`.
        made: which looks were made before the budget was spent, `[B, T]`; all of them if None. What
            stands for a look that was not made counts for nothing.
        costs: of all looks that were made, `[B]`.
    """

    latents: Sites
    designs: Float[Tensor, "B T *K"]
    outcomes: Float[Tensor, "B T *Y"]
    log_likelihoods: Float[Tensor, "B T"]
    made: Bool[Tensor, "B T"] | None = None
    costs: Float[Tensor, " B"] | None = None

    @property
    def log_likelihood(self) -> Float[Tensor, " B"]:
        """sum_t log p(y_t | theta, d_t) under the truth, nats."""
        return self.log_likelihoods.sum(1)

    def summed(self, each: Float[Tensor, "L T B"]) -> Float[Tensor, "L B"]:
        """The sum over the looks that were made, of a number for each look."""
        return (each if self.made is None else each.where(self.made.mT, 0.0)).sum(1)

    def part(self, *, scenes: slice | Tensor = slice(None), looks: slice = slice(None)) -> RollOut:
        """Some of the scenes, or some of their looks, whose costs are not told apart."""
        return RollOut(
            latents={name: value[scenes] for name, value in self.latents.items()},
            designs=self.designs[scenes, looks],
            outcomes=self.outcomes[scenes, looks],
            log_likelihoods=self.log_likelihoods[scenes, looks],
            made=None if self.made is None else self.made[scenes, looks],
        )


LogLikelihood = Callable[[SiteModel, RollOut, Sites], Tensor]
"""`likelihood(problem, roll, latents [L, 1 or B, *E]) -> [L, B]`, in nats."""


def roll_out(
    problem: SiteModel,
    policy: SequencePolicy,
    example: Tensor,
    *,
    steps: int,
    batch: int,
    space: DesignSpace | None = None,
    budget: float = math.inf,
    at_once: int = 1,
) -> RollOut:
    """Draws latents once per scene, then looks `steps` times.

    Gradients reach the policy where the outcome's distribution can be reparametrised.

    Args:
        problem: a model with one observation site.
        policy: chooses the looks.
        example: a legal design `[*K]`; only for shapes and to draw latents.
        steps: how often the policy is asked.
        batch: B.
        space: which designs there are and what they cost; 1 each if not given.
        budget: of each scene. One whose next look would cost more than is left makes no more.
        at_once: looks that are chosen together, before any of them has an outcome; T is
            `steps * at_once`.

    Raises:
        ValueError: counts below 1; the policy returns another shape, a design that is not finite or
            outside the space; an outcome that is impossible; or no scene can pay for a look.
    """
    for name, value in (("steps", steps), ("batch", batch), ("at_once", at_once)):
        COUNT.check(name, value)
    more_than(0, budget=budget)
    if budget < math.inf:
        space = space or DesignSpace()
    first = problem.simulate(example.expand(batch, *example.shape))
    (site,) = problem.observation
    designs = example.new_empty(batch, 0, *example.shape)
    outcomes = first.outcomes[site][:, None][:, :0]
    made = torch.ones(batch, 0, dtype=torch.bool, device=example.device)
    spent = torch.zeros(batch, device=example.device)
    likelihoods: list[Tensor] = []
    for step in range(steps):
        chosen = _chosen(policy, designs, outcomes, example=example, at_once=at_once)
        for design in chosen.unbind(1):
            going = made[:, -1] if made.shape[1] else made.new_ones(batch)
            if space is None:
                spent = spent + 1
            else:
                spent, going = space.pay(design, designs, spent=spent, going=going, budget=budget)
            look = problem.simulate(design, first.latents)
            check_possible(problem, look.log_likelihood, step)
            designs = torch.cat([designs, design[:, None]], 1)
            outcomes = torch.cat([outcomes, look.outcomes[site][:, None]], 1)
            made = torch.cat([made, going[:, None]], 1)
            likelihoods.append(_where(going, look.log_likelihood))
        if not bool(made[:, -1].any()):
            break
    return RollOut(
        latents=first.latents,
        designs=designs,
        outcomes=outcomes,
        log_likelihoods=torch.stack(likelihoods, 1),
        made=None if bool(made.all()) else made,
        costs=spent,
    )


def _chosen(
    policy: SequencePolicy, designs: Tensor, outcomes: Tensor, *, example: Tensor, at_once: int
) -> Float[Tensor, "B Q *K"]:
    """What the policy chooses next, checked."""
    step, batch = designs.shape[1] // at_once, len(designs)
    design = policy(designs, outcomes)
    expected = (batch, *((at_once,) if at_once > 1 else ()), *example.shape)
    if not isinstance(design, Tensor):
        raise ValueError(
            f"policy returned {describe(design)} at step {step}, expected designs {expected}"
        )
    if design.shape != expected:
        group = design.ndim == 2 + example.ndim and design.shape[2:] == example.shape
        advice = f"; it chooses {design.shape[1]} looks at once, give at_once" if group else ""
        raise ValueError(
            f"policy returned shape {tuple(design.shape)} at step {step}, expected {expected}"
            f"{advice}"
        )
    if not bool(torch.isfinite(design).all()):
        raise ValueError(f"policy returned a design that is not finite at step {step}")
    return design if at_once > 1 else design[:, None]


def _where(made: Bool[Tensor, "*batch"], value: Tensor) -> Tensor:
    """The values of looks that were made, zero for others."""
    return value if bool(made.all()) else value.where(made, 0.0)


def roll_out_log_likelihood(
    problem: SiteModel, roll: RollOut, latents: Sites
) -> Float[Tensor, "L B"]:
    """log p(outcomes | theta_l, designs) = sum_t log p(y_t | theta_l, d_t), differentiable.

    Each coordinate of the designs lies in one piece, and what depends on the parameters of the
    outcome's law alone is computed once, which makes a few thousand hypotheses as cheap as a
    policy's own network.

    Args:
        problem: the model.
        roll: B scenes of T looks.
        latents: every latent site, `[L, B, *event]`, or `[L, 1, *event]` for the same ones in
            every scene.

    Raises:
        ValueError: it is NaN.
    """
    (site,) = problem.observation
    number = len(next(iter(latents.values())))
    designs = roll.designs.movedim((0, 1), (-1, -2)).contiguous().movedim((-1, -2), (1, 0))
    where = designs.expand(number, *designs.shape)
    width = (number, *roll.designs.shape[1::-1])
    hypotheses = {
        name: value[:, None].expand(*width, *value.shape[2:]) for name, value in latents.items()
    }
    outcomes = roll.outcomes.transpose(0, 1).contiguous()[None]
    trace = problem.trace(where, {**hypotheses, site: outcomes})
    each = problem.density(trace)(outcomes)
    return roll.summed(each)


def tiled_log_likelihood(
    problem: SiteModel,
    roll: RollOut,
    latents: Sites,
    *,
    piece: int,
    likelihood: LogLikelihood = roll_out_log_likelihood,
) -> Float[Tensor, "L B"]:
    """The likelihood of so many hypotheses at once."""
    number = len(next(iter(latents.values())))
    parts = [
        likelihood(problem, roll, {name: value[some] for name, value in latents.items()})
        for some in slices(number, piece)
    ]
    return torch.cat(parts)
