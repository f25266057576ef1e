"""The sPCE of a policy in a Pyro model, as a loss to minimise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from boed.deep_adaptive.experiments import (
    RecurrentDesigner,
    log_likelihood,
    run_experiments,
)
from boed.deep_adaptive.nearby import IMAGINED, Nearby, imagined
from boed.eig.model.design_space import DesignSpace
from boed.eig.model.pyro_model import Model, SiteModel, Sites, site_model
from boed.eig.model.roll_outs import LogLikelihood, RollOut, roll_out_log_likelihood
from boed.eig.model.sequence_model import check_sequence
from boed.foundation.options import Whole

NAME = "deep adaptive design"
"""What errors of the model call who asks."""


TRIED = 64
"""Looks at the first design by which it is told whether anything changes with it."""

NO_GRADIENT = (
    "model: its log-likelihood has no gradient in the design, as where noise has sharp ends, or "
    "designs are rounded to whole numbers, index a table or are of a finite set, so that no "
    "gradient can train a policy; method 'rl' needs none"
)
"""Why a model cannot be trained for."""


def single_look(
    model: Model,
    policy: RecurrentDesigner,
    observation: str,
    *,
    target: str | Sequence[str],
    likelihood: bool = True,
    space: DesignSpace | None = None,
) -> SiteModel:
    """The model with its sites checked, tried on the policy's first design.

    With `likelihood`, it has to have one, given the target alone. Of a `space` the policy's designs
    are brought to what is allowed.

    Raises:
        ValueError: the model lacks a named site, samples latents that are no target, has no
            likelihood, or one that does not broadcast.
    """
    with torch.random.fork_rng(), torch.no_grad():
        design = first_design(policy, space)
        made = site_model(model, design[None], observation, target=target, estimator=NAME)
        if likelihood:
            check_sequence(made, design)
        return replace(made, space=space)


@torch.no_grad()
def first_design(
    policy: RecurrentDesigner, space: DesignSpace | None = None
) -> Float[Tensor, " K"]:
    """What the policy does before it has seen anything, within a space if one is given."""
    first = policy.choose(policy.start(1))
    return (first if space is None else space.nearest(first))[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class Contrast:
    """How well the truth of each roll-out is told from L other draws of theta.

    Attributes:
        gains: what sPCE averages, g in nats, `[B]`.
        before: `expected` of the looks before each, by the draws from the prior alone, `[B, T]`;
            None where it was not asked for.
        truth: posterior probability of the truth among the L + 1 draws, `[B]`.
        others: `[L, 1, *E]` per site, the same for every roll-out, or `[L, B, *E]`.
        weights: p(h_T | theta_l, pi) over the largest of them, `[L, B]`.
        alike: log p(h_T | theta, pi) of the truth and of the others, where all are drawn alike.
    """

    gains: Float[Tensor, " B"]
    truth: Float[Tensor, " B"]
    others: Sites
    weights: Float[Tensor, "L B"]
    before: Float[Tensor, "B T"] | None = None
    alike: tuple[Float[Tensor, " B"], Float[Tensor, "L B"]] | None = None

    @property
    def expected(self) -> Float[Tensor, " B"]:
        """The mean of `gains` over which of the L + 1 draws is the truth, given outcomes, `[B]`.

        Of the same mean and less noise, where all are drawn alike; `gains` where they are not.
        """
        return self.gains if self.alike is None else told(*self.alike)


@torch.no_grad()
def contrast(
    problem: SiteModel,
    roll: RollOut,
    contrasts: int,
    *,
    likelihood: LogLikelihood = log_likelihood,
    nearby: Nearby | None = None,
    by_look: bool = False,
) -> Contrast:
    """sPCE's terms, without gradient (Foster et al. 2021, Sec. 4).

    g = log p(h_T | theta_0, pi) - log [1 / (L + 1) sum_{l=0}^{L} p(h_T | theta_l, pi)]

    Unlike in `sequential_pce`, the same L draws of theta serve all roll-outs. The mean of g is a
    lower bound on the EIG of all T looks together, and at most log(L + 1). With draws near the
    truth it is an estimate of sPCE with `IMAGINED` contrasts, see `Nearby`.
    """
    truth = roll.log_likelihood
    if nearby is None:
        example = roll.designs[0, 0]  # only for its shape
        theta = problem.draw_latents(example.expand(contrasts, 1, *example.shape))
        itself: Tensor | float = 0.0
    else:
        theta, log_weights = nearby.draw(roll, contrasts)
        itself = log_weights[0]
    if by_look:
        others, before = _by_look(problem, roll, theta, likelihood=likelihood, nearby=nearby)
    else:
        others, before = likelihood(problem, roll, theta), None
    if nearby is not None:
        others = others + log_weights[1:]
    largest = others.amax(0)
    weights = (others - largest).exp_().nan_to_num_(1.0)  # 1 where all are impossible
    whole = torch.logaddexp(truth + itself, weights.sum(0).log() + largest)
    share = (truth + itself - whole).exp()
    gains = truth - whole + math.log(contrasts + 1)
    if nearby is not None:
        gains = held = imagined(gains)
        share = 1 - (1 - (held - math.log(IMAGINED + 1)).exp()) * (1 - share)
    return Contrast(
        gains=gains,
        truth=share,
        others=theta,
        weights=weights,
        before=before,
        alike=(truth, others) if nearby is None else None,
    )


def told(truth: Float[Tensor, " B"], others: Float[Tensor, "L B"]) -> Float[Tensor, " B"]:
    """Nats that outcomes tell of which of L + 1 hypotheses is true, from log-likelihoods.

    sum_k w_k log p_k - log [1 / (L + 1) sum_l p_l], with w their posterior probabilities.
    """
    whole = torch.logaddexp(truth, others.logsumexp(0))
    possible = others.where(others > -math.inf, 0.0)
    mean = (truth - whole).exp() * truth + ((others - whole).exp() * possible).sum(0)
    return mean - whole + math.log(len(others) + 1)


def _by_look(
    problem: SiteModel,
    roll: RollOut,
    theta: Sites,
    *,
    likelihood: LogLikelihood,
    nearby: Nearby | None,
) -> tuple[Float[Tensor, "L B"], Float[Tensor, "B T"]]:
    """Log-likelihoods of all looks, and what those before each look gained."""
    number = len(next(iter(theta.values())))
    prior = number if nearby is None else nearby.from_prior(number)
    truth = torch.zeros_like(roll.log_likelihood)
    others = truth.expand(number, -1)
    before: list[Tensor] = []
    for look, own in enumerate(roll.log_likelihoods.unbind(1)):
        before.append(told(truth, others[:prior]))
        truth = truth + own
        others = others + likelihood(problem, roll.part(looks=slice(look, look + 1)), theta)
    return others, torch.stack(before, 1)


def spce_loss(
    problem: SiteModel,
    policy: RecurrentDesigner,
    looks: int,
    *,
    batch: int,
    contrasts: int,
    rivals: int = 8,
    likelihood: LogLikelihood = log_likelihood,
    limit: float = math.inf,
    price: float = 0.0,
    nearby: Nearby | None = None,
) -> Float[Tensor, ""]:
    """-sPCE and the price of the looks, with an unbiased gradient. Uses torch's global generator.

    With w_l the posterior probability of theta_l among the L + 1 draws, Fisher's identity gives

        dg = (1 - w_0) (d log p(h_T | theta_0, pi) - E_l [d log p(h_T | theta_l, pi)])

    where l > 0 is drawn in proportion to w_l. So all L are compared without gradient, which
    costs little, and only `rivals` of them are differentiated.

    The gradient goes through the outcomes where they can be reparameterised. Otherwise, as for
    discrete outcomes, it is the score function's, E[dg + g d log p(h_T | theta_0, pi)], with a
    baseline taken off g at each look, see `outcome_score`. Both are of Foster et al. 2021.

    Args:
        problem: a Pyro model with one observation site, from `single_look`.
        policy: chooses the designs.
        looks: T.
        batch: B, experiments averaged over.
        contrasts: L.
        rivals: how many l are drawn for each experiment.
        likelihood: log-likelihoods of the L draws.
        limit: of each experiment's gradient at its designs, as `run_experiments` has it; without
            one the gradient is unbiased.
        price: nats that a unit of the looks' costs is worth.

    Raises:
        ValueError: a batch of one where the score function is needed; a model that has no
            gradient in the design.
    """
    roll = run_experiments(problem, policy, looks, batch=batch, limit=limit)
    check_reparametrised(roll)
    contrasted = contrast(
        problem,
        roll,
        contrasts,
        likelihood=likelihood,
        nearby=nearby,
        by_look=needs_score(roll),
    )
    with torch.no_grad():
        drawn = torch.multinomial(contrasted.weights.T, rivals, replacement=True).T  # [rivals, B]
        row = torch.arange(len(roll.designs), device=drawn.device)
        theta = {
            name: value[drawn, row if value.shape[1] > 1 else 0]
            for name, value in contrasted.others.items()
        }
    against = roll_out_log_likelihood(problem, roll, theta).mean(0)
    slope = roll.log_likelihood - against
    slope = slope.masked_fill(contrasted.truth == 1, 0.0)  # infinite where no other is possible
    slope = (1 - contrasted.truth) * slope
    paid = price_of(roll, price)
    slope = slope + outcome_score(roll, contrasted.gains - paid.detach(), contrasted.before)
    return (paid - (contrasted.gains + slope - slope.detach())).mean()


def price_of(roll: RollOut, price: float) -> Float[Tensor, " B"]:
    """What the looks of each experiment cost, in nats."""
    if roll.costs is None or price == 0:
        return roll.log_likelihood.new_zeros(len(roll.designs))
    return price * roll.costs


def check_reparametrised(roll: RollOut) -> None:
    """Refuse a model, or a set of designs, that no gradient passes through.

    Raises:
        ValueError: neither the outcomes nor their log-likelihood depend on the design smoothly.
    """
    through = roll.outcomes.requires_grad or roll.log_likelihood.requires_grad
    if torch.is_grad_enabled() and not through:
        raise ValueError(NO_GRADIENT)


def check_smooth(problem: SiteModel, policy: RecurrentDesigner, *, likelihood: bool) -> None:
    """Refuse a model whose first look has a gradient in the design that is zero everywhere.

    Args:
        problem: the model.
        policy: whose first design is tried.
        likelihood: whether it is the likelihood that is followed, of other hypotheses, too, or the
            outcomes.

    Raises:
        ValueError: no outcome, or no likelihood, changes with the design.
    """
    with torch.random.fork_rng(), torch.enable_grad():
        first = first_design(policy, problem.space).detach()
        where = first.expand(TRIED, *first.shape).clone().requires_grad_()
        look = problem.simulate(where)
        followed = list(look.outcomes.values())
        if likelihood:
            others = {name: value.roll(1, 0) for name, value in look.latents.items()}
            against = problem.log_likelihood(others, look.outcomes, where)
            followed = [look.log_likelihood, against[against.isfinite()]]
        total = sum((each.sum() for each in followed if each.requires_grad), where.new_zeros(()))
        if not total.requires_grad:
            return  # `check_reparametrised` judges whole experiments
        (slope,) = torch.autograd.grad(total, where, allow_unused=True)
    if slope is None or not bool(slope.any()):
        raise ValueError(NO_GRADIENT)


def needs_score(roll: RollOut) -> bool:
    """Whether the gradient does not go through the outcomes, so that the score function's is taken.

    Of an experiment with gradient in its likelihood.
    """
    return roll.log_likelihoods.requires_grad and not roll.outcomes.requires_grad


def outcome_score(
    roll: RollOut,
    gains: Float[Tensor, " B"],
    before: Float[Tensor, "B T"] | None = None,
) -> Float[Tensor, " B"]:
    """What a gain's gradient lacks where outcomes are not reparametrised: the score function's.

    sum_t (g - g_{t-1} - m_t) log p(y_t | theta_0, xi_t), where g_{t-1} was gained before the
    look, which its outcome does not change, and m_t the mean of g - g_{t-1} over the other
    experiments. Both leave the expectation as it is. Its value means nothing, only its gradient.

    Args:
        roll: the experiments.
        gains: g of each.
        before: g_{t-1} of each; 0 if not given.

    Raises:
        ValueError: a batch of one, which has no other experiments.
    """
    if not needs_score(roll):
        return torch.zeros_like(gains)
    rest = gains[:, None] if before is None else gains[:, None] - before
    score = (above_others(rest) * roll.log_likelihoods).sum(1)
    return score - score.detach()


def above_others(rest: Float[Tensor, "B T"]) -> Float[Tensor, "B T"]:
    """By how much each experiment has more than the mean of the others.

    Raises:
        ValueError: there are no others.
    """
    number = len(rest)
    Whole(2).check("batch", number)
    return rest - (rest.sum(0) - rest) / (number - 1)
