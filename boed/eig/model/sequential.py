"""Bounds on the EIG of a whole sequence of looks, chosen by a policy: sPCE and sNMC."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from boed.eig.model.isolation import isolated
from boed.eig.model.nested import event_numel, slices, tile_cells
from boed.eig.model.pyro_model import (
    Model,
    SiteModel,
    Sites,
    check_count,
    check_designs,
    site_model,
)
from boed.eig.model.scores import warn_if_saturated
from boed.foundation.arguments import checked
from boed.foundation.randomness import derive

SequencePolicy = Callable[[Tensor, Tensor], Tensor]
"""`policy(designs [B, t, *K], outcomes [B, t, *Y]) -> next designs [B, *K]`; t is 0 at first."""


@dataclass(frozen=True, eq=False, kw_only=True)
class RollOut:
    """Looks chosen by a policy and what they returned, B scenes of T looks.

    Attributes:
        latents: what was true, every latent site `[B, *event]`.
        designs: `[B, T, *K]`.
        outcomes: `[B, T, *Y]`.
        log_likelihood: sum_t log p(y_t | theta, d_t) under the truth, nats.
    """

    latents: Sites
    designs: Float[Tensor, "B T *K"]
    outcomes: Float[Tensor, "B T *Y"]
    log_likelihood: Float[Tensor, " B"]


@dataclass(frozen=True, eq=False, kw_only=True)
class SequentialEIG:
    """Both bounds on the EIG of T looks, in nats; lower <= EIG <= upper in expectation.

    Attributes:
        lower: sPCE, at most ln(contrasts + 1).
        lower_error: its standard error.
        upper: sNMC.
        upper_error: its standard error.
        designs: what the policy chose, `[N, T, *K]`.
        outcomes: what it saw, `[N, T, *Y]`.
    """

    lower: float
    lower_error: float
    upper: float
    upper_error: float
    designs: Float[Tensor, "N T *K"]
    outcomes: Float[Tensor, "N T *Y"]


def fixed_policy(designs: Float[Tensor, "T *K"]) -> SequencePolicy:
    """The same T looks in every scene."""

    def policy(past: Tensor, outcomes: Tensor) -> Tensor:
        return designs[past.shape[1]].expand(len(past), *designs.shape[1:])

    return policy


def random_policy(draw: Callable[[int], Tensor]) -> SequencePolicy:
    """Looks drawn whatever was seen; `draw(B)` returns `[B, *K]`."""
    return lambda past, outcomes: draw(len(past))


def roll_out(
    problem: SiteModel, policy: SequencePolicy, example: Tensor, *, steps: int, batch: int
) -> RollOut:
    """Draws latents once per scene, then looks `steps` times.

    Gradients reach the policy where the outcome's distribution can be reparametrised.

    Args:
        problem: a model with one observation site.
        policy: chooses the looks.
        example: a legal design `[*K]`; only for shapes and to draw latents.
        steps: T.
        batch: B.

    Raises:
        ValueError: the policy returns another shape, or a design that is not finite.
    """
    first = problem.simulate(example.expand(batch, *example.shape))
    (site,) = problem.observation
    designs = example.new_empty(batch, 0, *example.shape)
    outcomes = first.outcomes[site][:, None][:, :0]
    likelihood: Tensor | float = 0.0
    for step in range(steps):
        design = policy(designs, outcomes)
        if design.shape != (batch, *example.shape):
            raise ValueError(
                f"policy returned shape {tuple(design.shape)} at step {step}, expected "
                f"{(batch, *example.shape)}"
            )
        if not bool(torch.isfinite(design).all()):
            raise ValueError(f"policy returned a design that is not finite at step {step}")
        look = problem.simulate(design, first.latents)
        designs = torch.cat([designs, design[:, None]], 1)
        outcomes = torch.cat([outcomes, look.outcomes[site][:, None]], 1)
        likelihood = likelihood + look.log_likelihood
    return RollOut(
        latents=first.latents,
        designs=designs,
        outcomes=outcomes,
        log_likelihood=torch.as_tensor(likelihood),
    )


def roll_out_log_likelihood(
    problem: SiteModel, roll: RollOut, latents: Sites
) -> Float[Tensor, "L B"]:
    """log p(outcomes | theta_l, designs) = sum_t log p(y_t | theta_l, d_t), differentiable.

    Args:
        problem: the model.
        roll: B scenes of T looks.
        latents: every latent site, `[L, B, *event]`, or `[L, 1, *event]` for the same ones in
            every scene.
    """
    (site,) = problem.observation
    number = len(next(iter(latents.values())))
    designs = roll.designs.transpose(0, 1)
    where = designs.expand(number, *designs.shape)
    width = where.shape[:3]
    hypotheses = {
        name: value[:, None].expand(*width, *value.shape[2:]) for name, value in latents.items()
    }
    outcomes = {site: roll.outcomes.transpose(0, 1)[None]}
    return problem.log_likelihood(hypotheses, outcomes, where).sum(1)


def contrastive_terms(
    problem: SiteModel, roll: RollOut, contrasts: int, *, example: Tensor, memory: int = 512
) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
    """The terms whose means are sPCE and sNMC, Eq. 11 and 13 of Foster et al. 2021, in nats.

    Fresh contrastive latents for every scene. Differentiable; then all pieces are kept, so that
    `memory` bounds the evaluation only without gradients.

    Returns:
        Lower and upper terms, one of each per scene.
    """
    batch, steps = roll.designs.shape[:2]
    cells = batch * steps * max(event_numel({"y": roll.outcomes}, 2), event_numel(roll.latents, 1))
    piece = max(1, tile_cells(memory, problem.dtype) // cells)
    total = roll.log_likelihood.new_full((batch,), -torch.inf)
    for part in slices(contrasts, piece):
        where = example.expand(part.stop - part.start, batch, *example.shape)
        scores = roll_out_log_likelihood(problem, roll, problem.draw_latents(where))
        total = torch.logaddexp(total, scores.logsumexp(0))
    truth = roll.log_likelihood
    lower = truth - torch.logaddexp(total, truth) + math.log(contrasts + 1)
    upper = truth - total + math.log(contrasts)
    return lower, upper


@checked
@torch.no_grad()
def sequential_pce(
    model: Model,
    policy: SequencePolicy,
    steps: int,
    *,
    samples: int = 1000,
    contrasts: int = 1000,
    example: Float[Tensor, "*K"],
    observation: str = "y",
    target: str | Sequence[str] = "theta",
    seed: int = 0,
    memory: int = 512,
) -> SequentialEIG:
    """Lower (sPCE) and upper (sNMC) bounds on the EIG of `steps` looks chosen by a policy.

    Foster et al. 2021 (Deep Adaptive Design), Eq. 11 and 13.

    Args:
        model: a Pyro program, `model(design)` for one look; the looks share their latents.
        policy: chooses the next look from the past ones; see `fixed_policy`, `random_policy`.
        steps: T, looks per roll-out.
        samples: roll-outs.
        contrasts: L, contrastive latents per roll-out; sPCE is at most ln(L + 1).
        example: a legal design, for shapes, dtype and device.
        observation: the outcome's site.
        target: the latent sites; all of them.
        seed: the same seed gives the same answer; global random state is left as it was.
        memory: bound in MiB; L is worked off in pieces.

    Raises:
        ValueError: counts below 1, sites that do not fit, nuisance latents, a policy that returns
            another shape or designs that are not finite, a log-likelihood that is NaN.
    """
    counts = {"steps": steps, "samples": samples, "contrasts": contrasts, "memory": memory}
    for name, value in counts.items():
        check_count(name, value)
    check_designs(example[None], example.ndim)
    with isolated(derive(seed, "sequential_pce")):
        problem = site_model(
            model, example[None], observation, target=target, estimator="sequential_pce"
        )
        problem.needs_likelihood()
        if len(problem.observation) > 1:
            raise ValueError(f"observation must be one site, got {list(problem.observation)}")
        roll = roll_out(problem, policy, example, steps=steps, batch=samples)
        rows = max(1, tile_cells(memory, problem.dtype) // (16 * steps))
        terms = [
            contrastive_terms(problem, _part(roll, part), contrasts, example=example, memory=memory)
            for part in slices(samples, rows)
        ]
    lower, upper = (torch.cat(parts).double() for parts in zip(*terms, strict=True))
    lower_mean, lower_error = _mean(lower)
    warn_if_saturated("sequential_pce", lower.mean(), contrasts)
    upper_mean, upper_error = _mean(upper)
    return SequentialEIG(
        lower=lower_mean,
        lower_error=lower_error,
        upper=upper_mean,
        upper_error=upper_error,
        designs=roll.designs,
        outcomes=roll.outcomes,
    )


def _part(roll: RollOut, rows: slice) -> RollOut:
    """Some of the scenes."""
    latents = {name: value[rows] for name, value in roll.latents.items()}
    return RollOut(
        latents=latents,
        designs=roll.designs[rows],
        outcomes=roll.outcomes[rows],
        log_likelihood=roll.log_likelihood[rows],
    )


def _mean(terms: Float[Tensor, " N"]) -> tuple[float, float]:
    """Mean and standard error; infinite where a term is, NaN error from a single term."""
    mean = float(terms.mean())
    if not math.isfinite(mean):
        return mean, math.inf
    return mean, float(terms.std() / len(terms) ** 0.5) if len(terms) > 1 else math.nan
