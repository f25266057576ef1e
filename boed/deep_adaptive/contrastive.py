"""The loss of sPCE; of experiments with few possible outcomes summed over them, not drawn."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from boed.deep_adaptive.experiments import RecurrentDesigner, log_likelihood, run_experiments
from boed.deep_adaptive.loss import above_others, check_reparametrised, price_of, spce_loss
from boed.deep_adaptive.nearby import Nearby
from boed.eig.model.pyro_model import SiteModel, Sites
from boed.eig.model.roll_outs import LogLikelihood, RollOut
from boed.training.config import PolicyTrainingConfig

_log = logging.getLogger(__name__)

MOST = 16
"""Outcomes of a look that are summed over: each costs an evaluation of every contrast."""

CELLS = 2**24
"""Likelihoods of a batch beyond which those of each look are computed again in the backward pass:
T times less memory, for a quarter more time."""

TRIED = 8
"""Experiments by which it is seen whether all looks have the same outcomes."""

LOST = 1e-3
"""How far the outcomes' probabilities may sum to other than one: rounding."""


class OtherOutcomes(ValueError):
    """A look has other outcomes than those that are summed over."""


def contrastive_loss(
    problem: SiteModel,
    policy: RecurrentDesigner,
    looks: int,
    *,
    settings: PolicyTrainingConfig,
    likelihood: LogLikelihood = log_likelihood,
    nearby: Nearby | None = None,
) -> Callable[[], Float[Tensor, ""]]:
    """-sPCE and the price of the looks, of fresh experiments at each call.

    `finite_spce_loss` where a look has few outcomes and all contrasts are from the prior, until
    designs come up that have other ones; else `spce_loss`.
    """
    sizes: dict[str, Any] = {
        "batch": settings.share,
        "contrasts": settings.contrasts,
        "limit": settings.limit,
        "price": settings.price,
    }
    drawn = partial(
        spce_loss, problem, policy, looks, likelihood=likelihood, nearby=nearby, **sizes
    )
    support = None if nearby else few_outcomes(problem, policy, looks)

    def loss() -> Float[Tensor, ""]:
        nonlocal support
        if support is not None:
            try:
                return finite_spce_loss(problem, policy, looks, support=support, **sizes)
            except OtherOutcomes as error:
                _log.info("%s; from now on outcomes are drawn, not summed over", error)
                support = None
        return drawn()

    return loss


@torch.no_grad()
def few_outcomes(
    problem: SiteModel, policy: RecurrentDesigner, looks: int
) -> Float[Tensor, "Y 1 *E"] | None:
    """All that a look can return; None where that is too much, or not the same at every design."""
    if problem.implicit:
        return None
    with torch.random.fork_rng():
        torch.manual_seed(0)
        roll = run_experiments(problem, policy, looks, batch=TRIED)
    found: Tensor | None = None
    for look in range(roll.designs.shape[1]):
        trace = problem.trace(roll.designs[:, look], roll.latents)
        own = problem.finite_outcomes(trace)
        if own is None or len(own) > MOST or (found is not None and not torch.equal(found, own)):
            return None
        found = own
    return found


@dataclass(frozen=True, eq=False, kw_only=True)
class Expected:
    """What each look of an experiment was to tell about which of L + 1 hypotheses is true.

    Attributes:
        gains: mutual information of the look's outcome and the hypothesis, given the looks before,
            nats, `[B, T]`.
        log_chances: log p(y_t | h_{t-1}, xi_t) of what came out, by the hypotheses, `[B, T]`.
    """

    gains: Float[Tensor, "B T"]
    log_chances: Float[Tensor, "B T"]


def expected_gains(
    problem: SiteModel, roll: RollOut, others: Sites, *, support: Float[Tensor, "Y 1 *E"]
) -> Expected:
    """Each look's information about which of the truth and L others it is, with gradient.

    The mean over experiments of the sum over looks is sPCE (Foster et al. 2021, eq. 9): were truth
    and contrasts drawn alike, and any of them the truth with the same probability, sPCE's
    log p(h_T | theta_0, pi) - log [1 / (L + 1) sum_l p(h_T | theta_l, pi)] is the information of
    all outcomes, and that is the sum over looks of what each is expected to tell. Neither which
    hypothesis is true nor what comes out next is left to chance there, which is where nearly all
    noise of the gradient comes from.

    Args:
        problem: the model.
        roll: B experiments of T looks.
        others: the contrasts, `[L, 1, *E]` or `[L, B, *E]` per site.
        support: all outcomes of a look, from `few_outcomes`.

    Raises:
        OtherOutcomes: an outcome is none of these, or they are not all.
    """
    batch = len(roll.designs)
    hypotheses = {
        name: torch.cat([roll.latents[name][None], value.expand(-1, batch, *value.shape[2:])])
        for name, value in others.items()
    }
    number = len(next(iter(hypotheses.values())))
    (site,) = problem.observation

    def look(design: Tensor, outcome: Tensor, log_weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        where = design.expand(number, *design.shape)
        trace = problem.trace(where, {**hypotheses, site: outcome})
        density = problem.density(trace)
        each = torch.stack([density(value) for value in support])  # [Y, L + 1, B]
        weights, likelihood = log_weights.exp(), each.exp()
        marginal = (weights * likelihood).sum(1)  # [Y, B]
        sure = (likelihood * each.where(each > -math.inf, 0.0)).sum(0)
        gain = (weights * sure).sum(0) - torch.xlogy(marginal, marginal).sum(0)
        here = (support == outcome).reshape(len(support), batch, -1).all(2)
        if not bool(here.any(0).all()) or bool(((marginal.sum(0) - 1).abs() > LOST).any()):
            raise OtherOutcomes(
                f"site {site!r} can return other values than the {len(support)} outcomes it had at "
                "first"
            )
        row = here.int().argmax(0)
        chance = marginal.gather(0, row[None])[0].log()
        likely = each.gather(0, row.expand(1, number, batch))[0]
        return gain, chance, log_weights + likely - chance

    log_weights = roll.designs.new_full((number, batch), -math.log(number))
    looked: Callable[..., tuple[Tensor, Tensor, Tensor]] = look
    if number * len(support) * roll.designs.shape[:2].numel() > CELLS:
        looked = partial(checkpoint, look, use_reentrant=False, preserve_rng_state=False)
    gains, chances = [], []
    for design, outcome in zip(roll.designs.unbind(1), roll.outcomes.unbind(1), strict=True):
        gain, chance, log_weights = looked(design, outcome, log_weights)
        gains.append(gain)
        chances.append(chance)
    return Expected(gains=torch.stack(gains, 1), log_chances=torch.stack(chances, 1))


def finite_spce_loss(
    problem: SiteModel,
    policy: RecurrentDesigner,
    looks: int,
    *,
    support: Float[Tensor, "Y 1 *E"],
    batch: int,
    contrasts: int,
    limit: float = math.inf,
    price: float = 0.0,
) -> Float[Tensor, ""]:
    """-sPCE and the price of the looks, with an unbiased gradient. Uses torch's global generator.

    What a look is expected to tell is differentiated as it is. What comes after a look depends on
    what came out, for which it has the score function's gradient

        (sum_{s > t} I_s - m_t) d log p(y_t | h_{t-1}, xi_t),

    I_s of `expected_gains` and m_t the mean of the sum over the other experiments.

    Args:
        problem: a Pyro model with one observation site, from `single_look`.
        policy: chooses the designs.
        looks: T.
        support: all outcomes of a look.
        batch: B > 1, experiments averaged over.
        contrasts: L.
        limit: of each experiment's gradient at its designs, as `run_experiments` has it.
        price: nats that a unit of the looks' costs is worth.

    Raises:
        ValueError: a batch of one; a model that has no gradient in the design.
        OtherOutcomes: a look has others than `support`.
    """
    roll = run_experiments(problem, policy, looks, batch=batch, limit=limit)
    check_reparametrised(roll)
    example = roll.designs[0, 0].detach()  # only for its shape
    others = problem.draw_latents(example.expand(contrasts, 1, *example.shape))
    found = expected_gains(problem, roll, others, support=support)
    total = found.gains.sum(1) - price_of(roll, price)
    with torch.no_grad():
        rest = above_others(total[:, None] - found.gains.cumsum(1))
    score = (rest * found.log_chances).sum(1)
    return -(total + score - score.detach()).mean()
