"""The estimators of pyro.contrib.oed under our calling convention, with standard errors.

Pyro gives a number per design and no error. Here each estimator is trained once, then evaluated by
its own public function on fresh samples in `REPLICATES` shares, whose standard deviation gives the
error. Pyro leaves non-finite terms out of its means in silence; NaN is looked for beforehand on
`PROBES` draws.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyro
import torch
import torch.nn.functional as F
from jaxtyping import Float
from pyro import poutine
from pyro.contrib.oed import eig as oed
from pyro.optim import ClippedAdam
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn

from boed.eig.model.contrastive import fit_network
from boed.eig.model.guides import Conditional, Critic
from boed.eig.model.nested import LIVE, event_numel
from boed.eig.model.priors import check_gradients, check_prior, prior_entropy
from boed.eig.model.pyro_model import SiteModel, site_value
from boed.eig.model.scores import Evaluation, Scores, over_replicates

REPLICATES = 16
"""Fewest shares of the samples, each evaluated by itself."""

PROBES = 256
"""Draws on which the model's likelihood is checked before Pyro has it."""

RATE = 5e-3
"""Adam's first rate; it falls to a fiftieth over the training."""

Guide = Callable[..., Any]
"""A guide as pyro.contrib.oed calls it."""


def pyro_nmc(
    problem: SiteModel, designs: Float[Tensor, "D *K"], *, contrasts: int, memory: int
) -> Evaluation:
    """`nmc_eig`: nested Monte Carlo with `contrasts` inner samples, shared within a replicate."""
    problem.needs_likelihood()
    probe(problem, designs)

    def evaluate(share: int) -> Tensor:
        return oed.nmc_eig(program(problem), designs, *sites_of(problem), N=share, M=contrasts)

    return _replicated(problem, designs, contrasts, memory, evaluate)


def posterior(
    problem: SiteModel,
    designs: Float[Tensor, "D *K"],
    *,
    steps: int,
    memory: int,
    batch: int = 128,
    guide: Guide | None = None,
) -> Evaluation:
    """`posterior_eig`, Barber & Agakov 2003: H[p(theta)] + E log q(theta | y, d), a lower bound.

    The prior entropy is computed here: Pyro's fallback for priors without a closed form fails.

    The default q of a count is a negative binomial, which is never narrower than a Poisson law of
    its mean, as the posterior of a count may well be: a bound of 0.45 nats for an EIG of 1.06 was
    seen after 1,500 steps. Give a `guide`, or take `pce`, which needs none.

    Args:
        problem: the model; the target's prior must not depend on nuisances.
        designs: the candidates.
        steps: of training.
        memory: bound in MiB.
        batch: joint draws per training step and design.
        guide: your own q, called with (y_dict, design, observation names, target names).

    Raises:
        ValueError: the target's prior depends on nuisances.
    """
    check_prior(problem, designs)
    network = guide or _guide(problem, designs, problem.target, problem.observation, "posterior")
    run = _trained(oed.posterior_eig, problem, designs, steps, batch, guide=network, eig=False)

    def evaluate(share: int) -> Tensor:
        return prior_entropy(problem, designs, share) - run(share)

    return _replicated(problem, designs, 1, memory, evaluate)


def marginal(
    problem: SiteModel,
    designs: Float[Tensor, "D *K"],
    *,
    steps: int,
    memory: int,
    batch: int = 128,
    guide: Guide | None = None,
) -> Evaluation:
    """`marginal_eig`, Foster et al. 2019, Eq. 8: E log p(y | theta, d) / q(y | d), an upper bound.

    Arguments as for `posterior`; the guide is called with (design, observation and target names).
    """
    problem.needs_likelihood()
    network = guide or _guide(problem, designs, problem.observation, (), "marginal")
    run = _trained(oed.marginal_eig, problem, designs, steps, batch, guide=network)
    return _replicated(problem, designs, 1, memory, run)


def marginal_likelihood(
    problem: SiteModel,
    designs: Float[Tensor, "D *K"],
    *,
    steps: int,
    memory: int,
    batch: int = 128,
    guide: Guide | None = None,
    likelihood_guide: Guide | None = None,
) -> Evaluation:
    """`marginal_likelihood_eig`, Foster et al. 2019, Eq. 10: E log q(y | theta, d) / q(y | d).

    Neither bound: the errors of the two q have opposite signs. Nuisances are fine.

    Arguments as for `marginal`; `likelihood_guide` is called with (theta_dict, design, observation
    and target names).
    """
    marginal_guide = guide or _guide(problem, designs, problem.observation, (), "marginal")
    conditional = likelihood_guide or _guide(
        problem, designs, problem.observation, problem.target, "likelihood"
    )
    run = _trained(
        oed.marginal_likelihood_eig,
        problem,
        designs,
        steps,
        batch,
        marginal_guide=marginal_guide,
        cond_guide=conditional,
    )
    return _replicated(problem, designs, 1, memory, run)


def pyro_vnmc(
    problem: SiteModel,
    designs: Float[Tensor, "D *K"],
    *,
    contrasts: int,
    steps: int,
    memory: int,
    batch: int = 32,
    inner: int = 8,
    guide: Guide | None = None,
) -> Evaluation:
    """`vnmc_eig`, Foster et al. 2019, Eq. 12: an upper bound, trained by descending it.

    Arguments as for `posterior`; a training step takes `batch` outer and `inner` inner samples.
    """
    problem.needs_likelihood()
    if guide is None:
        check_gradients(problem, designs)
    network = guide or _guide(
        problem, designs, problem.target, problem.observation, "posterior", components=1
    )
    run = _trained(
        oed.vnmc_eig, problem, designs, steps, (batch, inner), gradients=True, guide=network
    )
    return _replicated(problem, designs, contrasts, memory, lambda share: run((share, contrasts)))


def donsker_varadhan(
    problem: SiteModel,
    designs: Float[Tensor, "D *K"],
    *,
    steps: int,
    memory: int,
    batch: int = 256,
    critic: nn.Module | None = None,
) -> Evaluation:
    """`donsker_varadhan_eig`, Belghazi et al. 2018: E T - log E exp T, a lower bound.

    The bound holds for any T. Pyro evaluates it, but does not train T here: its training stalled
    far below the EIG on Gaussian models. A likely cause is its gradient, which also passes through
    the maximum that stabilises log E exp T. T learns to tell joint from independent pairs by
    logistic loss instead, whose optimum is the same log-ratio (Hermans et al. 2020).

    The logarithm is that of a mean over samples / `REPLICATES` draws, which lifts the bound by
    about Var[exp T] / (2 n E[exp T]^2): take many samples where the EIG is large.

    Arguments as for `posterior`; the critic is called with (design, trace, observation names,
    target names).
    """
    scorer = critic or _TraceCritic(problem, designs)
    sites = sites_of(problem)
    where = designs.expand(batch, *designs.shape)

    def loss() -> Tensor:
        with torch.no_grad():
            joint = problem.trace(where, {})
            outcomes = {name: site_value(joint, name) for name in problem.observation}
            apart = problem.trace(where, outcomes)
        gap = F.softplus(-scorer(where, joint, *sites)) + F.softplus(scorer(where, apart, *sites))
        return gap.mean(0).sum()

    fit_network(scorer, loss, steps, estimator=problem.estimator)
    run = _trained(oed.donsker_varadhan_eig, problem, designs, 0, batch, T=scorer)
    return _replicated(problem, designs, 1, memory, run)


def sites_of(problem: SiteModel) -> tuple[list[str], list[str]]:
    """Observation and target names, as Pyro takes them."""
    return list(problem.observation), list(problem.target)


def program(problem: SiteModel, *, gradients: bool = False) -> Any:
    """The model without its parameters, which Pyro's training loop would train as well.

    With `gradients`, they reach its latents, and whatever else the model computes with.
    """

    def model(design: Tensor) -> Any:
        gradient = torch.set_grad_enabled(gradients and torch.is_grad_enabled())
        with gradient, _FullBatch(), problem.sharing(design):
            return problem.model(design)

    return poutine.block(model, hide_fn=lambda site: site["type"] == "param")


class _FullBatch(Messenger):  # type: ignore[misc]
    """Hands the model values of its whole batch shape where Pyro holds ones of fewer dimensions."""

    def _pyro_post_sample(self, msg: Any) -> None:
        if not site_is_subsample(msg):
            shape = msg["fn"].batch_shape + msg["fn"].event_shape
            if msg["value"].ndim < len(shape):
                msg["value"] = msg["value"].expand(shape)


def probe(problem: SiteModel, designs: Tensor) -> None:
    """Raises a ValueError if some of `PROBES` draws have an outcome or likelihood that is NaN."""
    problem.simulate(designs.expand(PROBES, *designs.shape))


def adam(steps: int, rate: float = RATE) -> Any:
    """Pyro's Adam, whose rate falls to a fiftieth over the steps."""
    return ClippedAdam({"lr": rate, "lrd": 0.02 ** (1 / max(1, steps)), "clip_norm": 100.0})


def _trained(
    estimator: Callable[..., Any],
    problem: SiteModel,
    designs: Tensor,
    steps: int,
    batch: int | tuple[int, int],
    *,
    gradients: bool = False,
    **parts: Any,
) -> Callable[..., Tensor]:
    """Trains by Pyro's public function; the result evaluates on a number of fresh samples."""
    sites = sites_of(problem)
    probe(problem, designs)

    def run(num_steps: int, final: Any) -> Tensor:
        with pyro.validation_enabled(False), torch.set_grad_enabled(num_steps > 0):
            value = estimator(
                program(problem, gradients=gradients),
                designs,
                *sites,
                num_samples=batch,
                num_steps=num_steps,
                optim=adam(num_steps),
                final_num_samples=final,
                **parts,
            )
        return torch.as_tensor(value).detach()

    if steps:
        try:
            run(steps, batch)
        except ArithmeticError as error:
            raise ValueError(
                f"the training loss of estimator {problem.estimator!r} is NaN; its guide meets "
                f"values that the model cannot take, or the reverse ({error})"
            ) from error
    return lambda share: run(0, share)


def _replicated(
    problem: SiteModel,
    designs: Tensor,
    inner: int,
    memory: int,
    evaluate: Callable[[int], Tensor],
) -> Evaluation:
    """The mean over at least `REPLICATES` shares of the samples, each of which fits in memory.

    Raises:
        ValueError: not even one sample fits.
    """
    fits = outer_that_fit(problem, designs, inner, memory=memory)

    def run(samples: int) -> Scores:
        shares = max(REPLICATES, -(-samples // fits))
        with pyro.validation_enabled(False):
            parts = [evaluate(samples // shares) for _ in range(shares)]
        return over_replicates(torch.stack(parts))

    return run


def outer_that_fit(problem: SiteModel, designs: Tensor, inner: int, *, memory: int) -> int:
    """How many outer samples with `inner` inner ones fit; Pyro holds all of them at once.

    Raises:
        ValueError: none.
    """
    draws = problem.simulate(designs.expand(1, *designs.shape))
    numbers = event_numel({**draws.latents, **draws.outcomes}, 2)
    each = inner * len(designs) * numbers * LIVE * problem.dtype.itemsize
    fits = memory * 2**20 // each
    if fits < 1:
        raise ValueError(
            f"memory is {memory} MiB; {problem.estimator!r} holds at least {each / 2**20:.0f}: "
            "take fewer designs, samples or contrasts"
        )
    return fits


def _guide(
    problem: SiteModel,
    designs: Tensor,
    sites: tuple[str, ...],
    given: tuple[str, ...],
    name: str,
    components: int = 4,
) -> Guide:
    """A `Conditional` network as a guide: called with the given values, if any, then the design."""
    network = Conditional(problem, designs, sites, given=given, components=components)

    def guide(*call: Any) -> None:
        pyro.module(f"boed.{name}", network)
        known = dict(call[0]) if given else {}
        design = call[1] if given else call[0]
        batch = tuple(design.shape[: design.ndim - designs.ndim + 1])
        for site in sites:
            law = network.distribution(site, known)
            with problem.sharing(design):
                known[site] = pyro.sample(site, law.expand(batch))

    return guide


class _TraceCritic(nn.Module):
    """A `Critic` as Pyro calls it."""

    def __init__(self, problem: SiteModel, designs: Tensor) -> None:
        super().__init__()
        self.critic = Critic(problem, designs)

    def forward(
        self, design: Tensor, trace: Any, observation: list[str], target: list[str]
    ) -> Tensor:
        """T of the trace's pairs, `[*batch]`."""
        value = {name: trace.nodes[name]["value"] for name in (*observation, *target)}
        score: Tensor = self.critic(value, value)
        return score
