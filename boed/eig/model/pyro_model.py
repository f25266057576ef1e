"""A Pyro model as a simulator and a likelihood: what every likelihood-side estimator needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import reduce
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from pyro import poutine
from pyro.distributions.util import scale_and_mask, sum_rightmost
from pyro.poutine.util import site_is_subsample
from torch import Tensor
from torch.distributions import Distribution

from boed.eig.model.design_space import DesignSpace
from boed.eig.model.proper import ImproperPriorError, Proper
from boed.eig.model.shared_draws import SharedDraws
from boed.foundation.recording import is_recorded

Model = Callable[[Tensor], Any]
"""A Pyro program: `model(design)`, design `[*batch, *K]`, every site of batch shape `*batch`."""

Sites = dict[str, Tensor]
"""Values of named sites, `[*batch, *event]` each."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Draws:
    """Joint draws of latents and outcomes.

    Attributes:
        latents: every latent site, `[*batch, *event]`.
        outcomes: every observation site, `[*batch, *event]`.
        log_likelihood: log p(outcomes | latents, design) in nats, `[*batch]`; NaN where the model
            has none.
        trace: the run of the model that they come from.
    """

    latents: Sites
    outcomes: Sites
    log_likelihood: Tensor
    trace: poutine.Trace


@dataclass(frozen=True, eq=False, kw_only=True)
class SiteModel:
    """A Pyro model whose sites are known to fit their roles; see `site_model`.

    Attributes:
        model: the Pyro program.
        observation: names of the observation sites.
        target: names of the latents that the question is about.
        latents: names of all latent sites, in the order of sampling.
        numbers: per draw of all latents and outcomes.
        implicit: some observation site is deterministic, so there is no likelihood.
        dtype: floating type of networks and estimates: the widest of the designs and sites.
        estimator: who asks; named in errors.
        design_dims: how many of the last dimensions are a design's own.
        shared: every design gets the same noise; see `SharedDraws`.
        space: the designs that a policy may choose, and what they cost; any if not given.
    """

    model: Model
    observation: tuple[str, ...]
    target: tuple[str, ...]
    latents: tuple[str, ...]
    numbers: int
    implicit: bool
    dtype: torch.dtype
    estimator: str
    design_dims: int
    shared: bool
    space: DesignSpace | None = None

    @property
    def nuisances(self) -> tuple[str, ...]:
        """Latents that the question is not about."""
        return tuple(name for name in self.latents if name not in self.target)

    def trace(self, designs: Tensor, values: Mapping[str, Tensor]) -> poutine.Trace:
        """One run of the model with the given sites held fixed.

        Raises:
            ValueError: it samples other sites than the first run did.
        """
        with pyro.validation_enabled(False), self.sharing(designs):
            trace = poutine.trace(poutine.condition(self.model, dict(values))).get_trace(designs)
        known = {*self.latents, *self.observation}
        sampled = [
            name
            for name, site in _sampled(trace).items()
            if name in known or not _deterministic(site)
        ]
        if known.symmetric_difference(sampled):
            raise ValueError(
                f"model: one run samples the sites {sorted(known)}, another {sorted(sampled)}; "
                "expected the same ones at every design and draw"
            )
        return trace

    def sharing(self, designs: Tensor) -> AbstractContextManager[Any]:
        """Draws within have the same noise for all designs of `[*batch, D, *K]`, if shared."""
        batch = tuple(designs.shape[: designs.ndim - self.design_dims])
        return SharedDraws(batch) if self.shared else nullcontext()

    def simulate(self, designs: Tensor, latents: Mapping[str, Tensor] | None = None) -> Draws:
        """Draws latents (unless given) and outcomes, one of each for every design of the batch.

        Raises:
            ValueError: an outcome or its log-likelihood is NaN.
        """
        trace = self.trace(designs, latents or {})
        outcomes = {name: site_value(trace, name) for name in self.observation}
        for name, value in outcomes.items():
            self.check_finite(name, "the outcome", value)
        if self.implicit:
            likelihood = torch.full((), torch.nan, dtype=self.dtype, device=designs.device)
        else:
            likelihood = self._log_prob(trace, self.observation)
            self.check_likelihood(trace)
        latents = {name: site_value(trace, name) for name in self.latents}
        return Draws(latents=latents, outcomes=outcomes, log_likelihood=likelihood, trace=trace)

    def draw_latents(self, designs: Tensor) -> Sites:
        """Prior draws of every latent, one for every design of the batch."""
        trace = self.trace(designs, {})
        return {name: site_value(trace, name) for name in self.latents}

    def log_likelihood(
        self, latents: Mapping[str, Tensor], outcomes: Mapping[str, Tensor], designs: Tensor
    ) -> Tensor:
        """log p(outcomes | latents, designs) in nats.

        Latents and designs have the same batch shape; the outcomes' may broadcast against it
        where there is one observation site.

        Raises:
            ValueError: it is NaN.
        """
        trace = self.trace(designs, {**latents, **outcomes})
        value = self._log_prob(trace, self.observation)
        if bool(torch.isnan(value.sum())):
            self.check_likelihood(trace)
        return value

    def density(self, trace: poutine.Trace) -> Callable[[Tensor], Tensor]:
        """log p(outcome | the trace's latents, designs) in nats, where there is one observation.

        The model is not run again: only the site's distribution is evaluated, on outcomes whose
        batch shape may broadcast against the trace's. It raises a ValueError on NaN; Pyro's other
        checks are the caller's to switch off.
        """
        (name,) = self.observation
        site = _site(trace, name)
        log_prob = log_density(site["fn"])

        def evaluate(outcome: Tensor) -> Tensor:
            value: Tensor = scale_and_mask(log_prob(outcome), site["scale"], site["mask"])
            if not is_recorded() and bool(torch.isnan(value.sum())):
                self.check_finite(name, "the log-likelihood", value)
            return value

        return evaluate

    def finite_outcomes(self, trace: poutine.Trace) -> Tensor | None:
        """All values that the one observation site of a run can take, `[Y, 1, *event]`.

        None where there are several sites, the values have no end, or depend on the latents.
        """
        if self.implicit or len(self.observation) > 1:
            return None
        law = _site(trace, self.observation[0])["fn"]
        if not law.has_enumerate_support:
            return None
        try:
            values: Tensor = law.enumerate_support(expand=False)
        except NotImplementedError:
            return None
        return values.reshape(len(values), 1, *law.event_shape)

    def log_joint(
        self, latents: Mapping[str, Tensor], outcomes: Mapping[str, Tensor], designs: Tensor
    ) -> tuple[Tensor, Tensor]:
        """log p(latents) and log p(outcomes | latents, designs) in nats, of one batch shape.

        Raises:
            ValueError: the log-likelihood is NaN.
        """
        trace = self.trace(designs, {**latents, **outcomes})
        likelihood = self._log_prob(trace, self.observation)
        self.check_likelihood(trace)
        return self._log_prob(trace, self.latents), likelihood

    def log_prior(self, target: Mapping[str, Tensor], designs: Tensor) -> Tensor:
        """log p(target) in nats, given whatever nuisances the model draws beside it."""
        return self._log_prob(self.trace(designs, target), self.target)

    def _log_prob(self, trace: poutine.Trace, names: Sequence[str]) -> Tensor:
        """Sum of the sites' log-probabilities."""
        with pyro.validation_enabled(False):
            trace.compute_log_prob(lambda name, site: name in names)
        first, *rest = (_site(trace, name)["log_prob"] for name in names)
        for each in rest:
            first = first + each
        return first

    def check_likelihood(self, trace: poutine.Trace) -> None:
        """Raises a ValueError that names the observation site whose log-likelihood is NaN."""
        for name in self.observation:
            self.check_finite(name, "the log-likelihood", _site(trace, name)["log_prob"])

    def check_finite(self, site: str, what: str, value: Tensor) -> None:
        """Raises a ValueError that names the site and the estimator if the value has a NaN."""
        bad = torch.isnan(value)
        if bool(bad.any()):
            raise ValueError(
                f"{what} of site {site!r} is NaN in {int(bad.sum())} of {bad.numel()} "
                f"evaluations by estimator {self.estimator!r}"
            )

    def needs_likelihood(
        self,
        *,
        nuisances: bool = False,
        others: str = "posterior, marginal_likelihood, infonce, lfire and donsker_varadhan",
        free: str = "infonce and posterior",
    ) -> None:
        """Raises a ValueError if p(outcome | target, design) is not the model's own density.

        With `nuisances`, p(outcome | all latents, design) is enough. `others` are what serves such
        models, `free` what serves those without any likelihood.
        """
        if self.implicit:
            raise ValueError(
                f"observation: estimator {self.estimator!r} needs a likelihood, but a site of "
                f"{list(self.observation)} is deterministic; {free} need none"
            )
        if self.nuisances and not nuisances:
            raise ValueError(
                f"target: estimator {self.estimator!r} needs p(outcome | target), which the "
                f"nuisance sites {list(self.nuisances)} hide; add them to the target or take one "
                f"of {others}"
            )


def names_of(argument: str, names: str | Sequence[str]) -> tuple[str, ...]:
    """One site name or several, as a tuple.

    Raises:
        ValueError: none, or the same one twice.
    """
    result = (names,) if isinstance(names, str) else tuple(names)
    if not result or len(set(result)) < len(result):
        raise ValueError(f"{argument} must be one or several distinct site names, got {names!r}")
    return result


def check_designs(designs: Tensor, design_dims: int) -> None:
    """Raises a ValueError unless the designs are `[D, *K]`, real, finite, and at least one."""
    if not isinstance(designs, Tensor) or designs.is_complex():
        kind = designs.dtype if isinstance(designs, Tensor) else type(designs).__name__
        raise ValueError(f"designs must be a tensor [D, *K] of real numbers, got {kind}")
    if designs.ndim != 1 + design_dims:
        raise ValueError(
            f"designs must be [D, *K] with {design_dims} design dimension(s) (design_dims), "
            f"got shape {tuple(designs.shape)}"
        )
    if len(designs) == 0:
        raise ValueError(f"designs holds no candidate, shape {tuple(designs.shape)}")
    if not bool(torch.isfinite(designs).all()):
        rows = (~torch.isfinite(designs)).flatten(1).any(1).nonzero().flatten().tolist()
        raise ValueError(f"designs must be finite, got NaN or infinity in rows {rows[:5]}")


def site_model(
    model: Model,
    designs: Float[Tensor, "D *K"],
    observation: str | Sequence[str],
    *,
    target: str | Sequence[str],
    estimator: str,
    shared: bool = False,
) -> SiteModel:
    """Runs the model once on a few designs and checks that its sites fit their roles.

    Args:
        model: the Pyro program.
        designs: legal designs; the first two are tried.
        observation: names of the observation sites.
        target: names of the latents that the question is about.
        estimator: named in errors.
        shared: the model's draws are to have the same noise for every design.

    Raises:
        ValueError: the model fails; a prior is improper; a named site is missing, is not latent
            (target) or is given a value by the model (observation); a site's batch shape is not
            the design's; or the model holds observed data of its own.
    """
    seen, wanted = names_of("observation", observation), names_of("target", target)
    some = designs[:2].expand(3, *designs[:2].shape)
    try:
        with Proper(seen):
            trace = poutine.trace(model).get_trace(some)
    except ImproperPriorError as error:
        raise ValueError(str(error).partition("\n")[0]) from None  # Pyro adds a table of shapes
    except Exception as error:
        shape = tuple(some.shape)
        raise ValueError(f"model failed on designs of shape {shape}: {error}") from error
    sites = _sampled(trace)
    _check_roles(sites, seen, wanted)
    for name in (*seen, *(name for name, site in sites.items() if not site["is_observed"])):
        if _deterministic(sites[name]):
            batch = tuple(sites[name]["value"].shape[:2])
        else:
            batch = tuple(sites[name]["fn"].batch_shape)
        if batch != tuple(some.shape[:2]):
            raise ValueError(
                f"site {name!r} has batch shape {batch} for designs of batch shape "
                f"{tuple(some.shape[:2])}; sample it inside pyro.plate_stack('plate', "
                "design.shape[:-design_dims]) and make other dimensions event dimensions "
                "(.to_event)"
            )
    latents = tuple(name for name, site in sites.items() if not site["is_observed"])
    values = [site_value(trace, name) for name in dict.fromkeys((*seen, *latents))]
    return SiteModel(
        model=model,
        observation=seen,
        target=wanted,
        latents=tuple(name for name in latents if name not in seen),
        numbers=sum(value[0, 0].numel() for value in values),
        implicit=any(_deterministic(sites[name]) for name in seen),
        dtype=_widest([designs, *values]),
        estimator=estimator,
        design_dims=designs.ndim - 1,
        shared=shared,
    )


def _widest(values: Sequence[Tensor]) -> torch.dtype:
    """The floating type that holds them all, float32 or wider; the default one for integers."""
    types = [value.dtype for value in values if value.is_floating_point()]
    return reduce(torch.promote_types, types or [torch.get_default_dtype()], torch.float32)


def _check_roles(
    sites: Mapping[str, Any], observation: tuple[str, ...], target: tuple[str, ...]
) -> None:
    """The named sites exist, and are latent or free to observe as their role asks."""
    for argument, names in (("observation", observation), ("target", target)):
        for name in names:
            if name not in sites:
                raise ValueError(f"{argument}: the model has no site {name!r}, only {list(sites)}")
    for name in target:
        if name in observation:
            raise ValueError(f"target: site {name!r} is an observation as well")
        if _deterministic(sites[name]):
            drawn = [each for each, site in sites.items() if not site["is_observed"]]
            raise ValueError(
                f"target: site {name!r} is deterministic, with no law of its own; give the sites "
                f"that it is computed from, of {[n for n in drawn if n not in observation]}"
            )
        if sites[name]["is_observed"]:
            raise ValueError(f"target: site {name!r} is observed in the model, not latent")
    for name, site in sites.items():
        if isinstance(site["fn"], dist.Unit):
            raise ValueError(
                f"model: site {name!r} is a factor, which makes the prior one that cannot be drawn "
                "from; give each latent site its law by pyro.sample"
            )
        if site["is_observed"] and not _deterministic(site):
            raise ValueError(
                f"model: site {name!r} is given a value by obs=; sample observations without "
                "obs, and express past data through the prior"
            )


def log_density(law: Distribution) -> Callable[[Tensor], Tensor]:
    """`law.log_prob`, to be called many times; for normal laws, in a third of the passes.

    What depends on the parameters alone is computed once.
    """
    base: Any = law
    dims = 0
    if type(base) in (dist.Independent, torch.distributions.Independent):
        base, dims = base.base_dist, base.reinterpreted_batch_ndims
    if type(base) not in (dist.Normal, torch.distributions.Normal):
        return law.log_prob
    scale = _without_repeats(base.scale)
    rate = (math.sqrt(0.5) / scale).contiguous()
    offset = (scale.log() + 0.5 * math.log(2 * math.pi)).neg()

    def log_prob(value: Tensor) -> Tensor:
        z = (value - base.loc).mul_(rate)
        return sum_rightmost(torch.addcmul(offset, z, z, value=-1), dims)

    return log_prob


def _without_repeats(value: Tensor) -> Tensor:
    """A tensor that broadcasts to another, without what `expand` repeats in it."""
    return value[tuple(slice(0, 1) if step == 0 else slice(None) for step in value.stride())]


def _sampled(trace: poutine.Trace) -> dict[str, Any]:
    """The records of all sites but those of Pyro's plates."""
    return {
        name: site
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and not site_is_subsample(site)
    }


def _site(trace: poutine.Trace, name: str) -> Any:
    """The record of a site."""
    return trace.nodes[name]


def site_value(trace: poutine.Trace, name: str) -> Tensor:
    """What was drawn at a site, or given."""
    value = _site(trace, name)["value"]
    assert isinstance(value, Tensor)
    return value


def _deterministic(site: Any) -> bool:
    """Whether `pyro.deterministic` made the site."""
    return bool(site["infer"].get("_deterministic", False))
