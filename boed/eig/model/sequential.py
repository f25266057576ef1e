"""Bounds on the EIG of a whole sequence of looks, chosen by a policy: sPCE and sNMC."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from boed.eig.model.design_space import DesignSpace
from boed.eig.model.fused import likelihood_for
from boed.eig.model.isolation import isolated, own_numbers
from boed.eig.model.nested import TILE, event_numel, slices, tile_cells
from boed.eig.model.proposal import adapted_terms
from boed.eig.model.pyro_model import Model, SiteModel, Sites, check_designs
from boed.eig.model.roll_outs import (
    LogLikelihood,
    RollOut,
    SequencePolicy,
    roll_out,
    roll_out_log_likelihood,
    tiled_log_likelihood,
)
from boed.eig.model.scores import warn_if_saturated
from boed.eig.model.sequence_model import sequence_model
from boed.foundation.arguments import checked
from boed.foundation.options import COUNT
from boed.foundation.randomness import derive
from boed.foundation.registry import check_known

PROPOSALS = ("prior", "posterior")
"""What contrasts are drawn from."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SequentialEIG:
    """Both bounds on the EIG of T looks, in nats; lower <= EIG <= upper in expectation.

    Attributes:
        lower: sPCE, at most `ceiling`; sACE with posterior proposals.
        lower_error: its standard error.
        upper: sNMC; sVNMC with posterior proposals.
        upper_error: its standard error.
        contrasts: L.
        proposal: the law that the contrasts are drawn from, of `PROPOSALS`.
        designs: what the policy chose, `[N, T, *K]`.
        outcomes: what it saw, `[N, T, *Y]`.
        looks: how many were made in each roll-out, `[N]`; T but where a budget ended it.
        costs: of each roll-out, `[N]`.
    """

    lower: float
    lower_error: float
    upper: float
    upper_error: float
    contrasts: int
    designs: Float[Tensor, "N T *K"]
    outcomes: Float[Tensor, "N T *Y"]
    looks: Int[Tensor, " N"]
    costs: Float[Tensor, " N"]
    proposal: str = "prior"

    @property
    def ceiling(self) -> float:
        """ln(L + 1), which sPCE cannot exceed; posterior proposals have no such limit."""
        return math.log(self.contrasts + 1) if self.proposal == "prior" else math.inf

    @property
    def gap(self) -> float:
        """Upper less lower bound: how little is known of the EIG."""
        return self.upper - self.lower

    @property
    def roll_outs(self) -> int:
        """N."""
        return len(self.designs)


def check_fits(policy: SequencePolicy, model: Model, looks: int | None) -> None:
    """Let a policy that was trained refuse another model, or more looks, by its `check_model`.

    Raises:
        ValueError: as it says.
    """
    check = getattr(policy, "check_model", None)
    if check is not None:
        check(model, looks)


def fixed_policy(designs: Float[Tensor, "T *K"]) -> SequencePolicy:
    """The same T looks in every scene; groups of looks that are made at once if `[T, Q, *K]`.

    Raises:
        ValueError: it is asked for more of them.
    """

    def policy(past: Tensor, outcomes: Tensor) -> Tensor:
        together = designs.shape[1] if designs.ndim == past.ndim else 1
        made = -(-past.shape[1] // together)
        if made >= len(designs):
            what = "looks" if together == 1 else f"groups of {together} looks"
            raise ValueError(f"fixed_policy has {len(designs)} {what}, asked for one more")
        return designs[made].expand(len(past), *designs.shape[1:])

    return policy


def random_policy(draw: Callable[[int], Tensor]) -> SequencePolicy:
    """Looks drawn whatever was seen; `draw(B)` returns `[B, *K]`."""
    return lambda past, outcomes: draw(len(past))


def undisturbed(policy: SequencePolicy, seed: int) -> SequencePolicy:
    """A policy that draws numbers of its own, whatever the seed of truths and outcomes.

    So policies that choose the same designs have the same experiments, however they choose.
    """

    def chosen(past: Tensor, outcomes: Tensor) -> Tensor:
        with own_numbers(derive(seed, f"look {past.shape[1]}")):
            return policy(past, outcomes)

    return chosen


def contrastive_terms(
    problem: SiteModel,
    roll: RollOut,
    contrasts: int,
    *,
    example: Tensor,
    memory: int = 512,
    likelihood: LogLikelihood = roll_out_log_likelihood,
) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
    """The terms whose means are sPCE and sNMC, Eq. 11 and 13 of Foster et al. 2021, in nats.

    Fresh contrastive latents for every scene. Differentiable, if the likelihood is; then all pieces
    are kept, so that `memory` bounds the evaluation only without gradients. The latents are drawn
    in blocks that do not depend on `memory`, so that neither do the terms.

    Returns:
        Lower and upper terms, one of each per scene.

    Raises:
        ValueError: `contrasts` is below 1.
    """
    COUNT.check("contrasts", contrasts)
    batch, steps = roll.designs.shape[:2]
    numbers = max(event_numel({"y": roll.outcomes}, 2), event_numel(roll.latents, 1))
    block = max(1, TILE // (batch * steps * numbers))
    cells = max(1, tile_cells(memory, problem.dtype) // (steps * numbers))
    rows = max(1, min(batch, cells))
    total = roll.log_likelihood.new_full((batch,), -torch.inf)
    for part in slices(contrasts, block):
        where = example.expand(part.stop - part.start, batch, *example.shape)
        latents = problem.draw_latents(where)
        totals = [
            tiled_log_likelihood(
                problem,
                roll.part(scenes=scenes),
                _scenes(latents, scenes),
                piece=cells // rows,
                likelihood=likelihood,
            ).logsumexp(0)
            for scenes in slices(batch, rows)
        ]
        total = torch.logaddexp(total, torch.cat(totals))
    truth = roll.log_likelihood
    lower = truth - torch.logaddexp(total, truth) + math.log(contrasts + 1)
    upper = truth - total + math.log(contrasts)
    return lower, upper


def _scenes(latents: Sites, rows: slice) -> Sites:
    return {name: value[:, rows] for name, value in latents.items()}


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
    space: DesignSpace | None = None,
    budget: float = math.inf,
    at_once: int = 1,
    proposal: str = "prior",
    seed: int = 0,
    memory: int = 512,
) -> SequentialEIG:
    """Lower (sPCE) and upper (sNMC) bounds on the EIG of `steps` looks chosen by a policy.

    Foster et al. 2021 (Deep Adaptive Design), Eq. 11 and 13. With `proposal="posterior"` the
    contrasts of each roll-out are drawn from a law like its posterior, which is found from what was
    seen (`boed.eig.model.proposal`): sACE and sVNMC, the bounds of Foster et al. 2020 (ACE) and
    2019 (VNMC) for a sequence. A few thousand contrasts are then as good as billions, and the lower
    bound is not held at ln(L + 1). Both are bounds however good the law is; where it misses a mode
    the gap is wide.

    Args:
        model: a Pyro program, `model(design)` for one look; the looks share their latents.
        policy: chooses the next look from the past ones; see `fixed_policy`, `random_policy`.
        steps: how often the policy is asked; T, the looks of a roll-out, is `steps * at_once`.
        samples: roll-outs.
        contrasts: L, contrastive latents per roll-out; sPCE is at most ln(L + 1).
        example: a legal design, for shapes, dtype and device.
        observation: the outcome's site.
        target: the latent sites; all of them.
        space, budget, at_once: which designs there are and what they cost, what may be spent, and
            how many looks are chosen together; see `roll_out`.
        proposal: what contrasts are drawn from, a name of `PROPOSALS`; targets have to be
            continuous for posterior ones.
        seed: the same seed gives the same answer, and all policies the same truths and noise;
            global random state is left as it was.
        memory: bound on what is evaluated at once, MiB; the answer does not depend on it. The
            latents of a block, half a million numbers over T, are drawn together. Posterior
            proposals are evaluated in pieces of that size, whatever it is.

    Raises:
        ValueError: counts below 1, sites that do not fit, nuisance latents, a likelihood that does
            not broadcast, a policy that returns another shape or designs that are not finite or not
            in the space, or was trained for another model or fewer looks, a log-likelihood that is
            NaN or of the truth infinite; an unknown proposal, or a posterior one for targets that
            are not continuous.
    """
    check_known("proposal", proposal, PROPOSALS)
    counts = {"steps": steps, "samples": samples, "contrasts": contrasts, "memory": memory}
    for name, value in counts.items():
        COUNT.check(name, value)
    check_designs(example[None], example.ndim)
    check_fits(policy, model, steps * at_once)
    with isolated(derive(seed, "sequential_pce")):
        problem = sequence_model(
            model, example, observation, target=target, estimator="sequential_pce"
        )
        roll = roll_out(
            problem,
            undisturbed(policy, seed),
            example,
            steps=steps,
            batch=samples,
            space=space,
            budget=budget,
            at_once=at_once,
        )
        likelihood = likelihood_for(samples * contrasts * roll.designs.shape[1])
        if proposal == "posterior":
            terms = adapted_terms(problem, roll, contrasts, example=example, likelihood=likelihood)
        else:
            rows = max(1, TILE // (16 * roll.designs.shape[1]))
            terms = [
                contrastive_terms(
                    problem,
                    roll.part(scenes=part),
                    contrasts,
                    example=example,
                    memory=memory,
                    likelihood=likelihood,
                )
                for part in slices(samples, rows)
            ]
    lower, upper = (torch.cat(parts).double() for parts in zip(*terms, strict=True))
    lower_mean, lower_error = _mean(lower)
    upper_mean, upper_error = _mean(upper)
    least = upper_mean - 2 * upper_error if math.isfinite(upper_error) else upper_mean
    if proposal == "prior":
        warn_if_saturated("sequential_pce", lower.mean(), contrasts, upper=torch.tensor(least))
    return SequentialEIG(
        lower=lower_mean,
        lower_error=lower_error,
        upper=upper_mean,
        upper_error=upper_error,
        contrasts=contrasts,
        designs=roll.designs,
        outcomes=roll.outcomes,
        looks=_looks(roll),
        costs=roll.costs if roll.costs is not None else _looks(roll).to(roll.designs),
        proposal=proposal,
    )


def _looks(roll: RollOut) -> Int[Tensor, " N"]:
    """How many looks of each roll-out were made."""
    batch, looks = roll.designs.shape[:2]
    if roll.made is None:
        return torch.full((batch,), looks, device=roll.designs.device)
    return roll.made.sum(1)


def _mean(terms: Float[Tensor, " N"]) -> tuple[float, float]:
    """Mean and standard error; infinite where a term is, NaN error from a single term."""
    mean = float(terms.mean())
    if not math.isfinite(mean):
        return mean, math.inf
    return mean, float(terms.std() / len(terms) ** 0.5) if len(terms) > 1 else math.nan
