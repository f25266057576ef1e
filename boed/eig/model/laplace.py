"""The EIG from Laplace approximations of the posterior, through pyro.contrib.oed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from pyro.contrib.oed import eig as oed
from pyro.distributions.transforms import ReshapeTransform
from pyro.infer import Trace_ELBO
from pyro.optim import ClippedAdam
from torch import Tensor

from boed.eig.model.isolation import own_parameters
from boed.eig.model.nested import slices
from boed.eig.model.priors import check_gradients, check_prior, prior_entropy
from boed.eig.model.probit import between_bounds
from boed.eig.model.pyro_model import SiteModel
from boed.eig.model.pyro_oed import outer_that_fit, probe, program, sites_of
from boed.eig.model.scores import Evaluation, Scores, over_replicates
from boed.eig.model.site_kinds import SiteKind, site_kinds

DRAWS = 256
"""Draws for the entropy of a Gaussian that a bijection bends."""

FLAT = 1e-2
"""Least precision, where the prior's variance is 1: a posterior is at most ten times as wide."""


def laplace(
    problem: SiteModel,
    designs: Float[Tensor, "D *K"],
    *,
    steps: int,
    memory: int,
    rate: float = 0.1,
) -> Evaluation:
    """`laplace_eig`: H[p(theta)] - E H[Laplace approximation of p(theta | y, d)].

    No bound: it is as good as the posterior is Gaussian on the unconstrained scale, on which a
    uniform prior is one. Each sample is an outcome with a posterior of its own; all are fitted at
    once, as one batch of designs.

    Args:
        problem: the model; all latents continuous, nuisances are integrated out as Gaussians.
        designs: the candidates.
        steps: of Adam towards each posterior's mode.
        memory: bound in MiB.
        rate: Adam's first rate, in standard deviations of the prior; it falls to a hundredth.

    Raises:
        ValueError: no likelihood, a discrete latent, bounds that move with
            the latents, a target whose prior depends on nuisances, or a curvature that is NaN.
    """
    problem.needs_likelihood(nuisances=True)
    probe(problem, designs)
    check_prior(problem, designs)
    check_gradients(problem, designs)
    kinds, draws = site_kinds(problem, designs, [*problem.target, *problem.nuisances])
    kinds = [
        replace(kind, bijection=between_bounds(kind.support) or kind.bijection) for kind in kinds
    ]
    moments = [kind.moments(draws[kind.name]) for kind in kinds]
    loc, scale = (torch.cat(parts, -1) for parts in zip(*moments, strict=True))
    fits = outer_that_fit(problem, designs, loc.shape[-1], memory=memory)

    def evaluate(samples: int) -> Scores:
        sizes = [part.stop - part.start for part in slices(samples, fits)]
        entropy = torch.cat([_entropies(problem, designs, n, steps, rate, guide) for n in sizes])
        before = prior_entropy(problem, designs, max(samples, 1000))
        return over_replicates(before - entropy)

    def guide(count: int) -> LaplaceGuide:
        return LaplaceGuide(kinds, loc.expand(count, *loc.shape), scale)

    return evaluate


def _entropies(
    problem: SiteModel,
    designs: Tensor,
    count: int,
    steps: int,
    rate: float,
    guide: Callable[[int], LaplaceGuide],
) -> Float[Tensor, "n D"]:
    """Of the Laplace approximations for `count` outcomes of every design."""
    with own_parameters(), pyro.validation_enabled(False), torch.enable_grad():
        after: Tensor = oed.laplace_eig(
            program(problem, gradients=True),
            designs.expand(count, *designs.shape),
            *sites_of(problem),
            guide=guide(count),
            loss=Trace_ELBO().differentiable_loss,
            optim=ClippedAdam({"lr": rate, "lrd": 0.01 ** (1 / max(1, steps))}),
            num_steps=steps,
            final_num_samples=1,
            eig=False,
        )
    return after.detach()


class LaplaceGuide:
    """A point in training; afterwards the Gaussian of the curvature there, site by site.

    The point counts in standard deviations of the prior on the unconstrained scale, so that
    neither the search for the mode nor what is called flat depends on units.

    The sites follow one another: with covariance L L^T, site k given the ones before it has the
    scale L_kk, so that the entropies of the first sites add up to their joint entropy.

    Args:
        kinds: all latents, targets first.
        loc: prior mean on the unconstrained scale, where the search starts, `[*batch, p]`.
        scale: prior standard deviation there, of a shape that broadcasts.
    """

    def __init__(self, kinds: list[SiteKind], loc: Tensor, scale: Tensor) -> None:
        self.kinds, self.loc, self.scale = kinds, loc, scale
        self.tril: Tensor | None = None

    def train(self) -> None:
        """Back to a point."""
        self.tril = None

    def finalize(self, loss: Tensor, target: list[str]) -> None:
        """The Gaussian whose precision is the loss' Hessian at the point.

        Flat or falling directions, as at a saddle, get the precision `FLAT`.

        Raises:
            ValueError: a curvature that is NaN or infinite.
        """
        point = pyro.param("boed.laplace")
        (slope,) = torch.autograd.grad(loss, point, create_graph=True)
        rows = [
            torch.autograd.grad(slope[..., i].sum(), point, retain_graph=True)[0]
            for i in range(slope.shape[-1])
        ]
        precision = torch.stack(rows, -2)
        bad = ~torch.isfinite(precision).flatten(-2).all(-1)
        if bool(bad.any()):
            raise ValueError(
                f"the posterior's curvature is not finite in {int(bad.sum())} of {bad.numel()} "
                "fits of estimator 'laplace'; pce, snmc and posterior need none"
            )
        precision = 0.5 * (precision + precision.transpose(-1, -2))
        values, vectors = torch.linalg.eigh(precision.double())
        covariance = vectors @ torch.diag_embed(1 / values.clamp(min=FLAT)) @ vectors.mT
        self.tril = self.scale[..., None] * torch.linalg.cholesky(covariance).to(loss).detach()

    def __call__(self, design: Tensor) -> None:
        point = self.loc + self.scale * pyro.param("boed.laplace", torch.zeros_like(self.loc))
        begin = 0
        noise: list[Tensor] = []
        for kind in self.kinds:
            end = begin + kind.unconstrained
            if self.tril is None:
                self._sample_point(kind, point[..., begin:end])
            else:
                tril = self.tril[..., begin:end, :end]
                loc = point.detach()[..., begin:end]
                if noise:
                    loc = loc + (tril[..., :begin] @ torch.cat(noise, -1)[..., None])[..., 0]
                base = dist.MultivariateNormal(loc, scale_tril=tril[..., begin:])
                value = pyro.sample(kind.name, _Bent(base, kind))
                gap = kind.encode(value) - loc
                noise.append(
                    torch.linalg.solve_triangular(tril[..., begin:], gap[..., None], upper=False)[
                        ..., 0
                    ]
                )
            begin = end

    def _sample_point(self, kind: SiteKind, flat: Tensor) -> None:
        """A point mass whose log-density carries the bijection's volume."""
        value, volume = _bend(kind, flat)
        law = dist.Delta(value.to(kind.dtype), log_density=-volume, event_dim=len(kind.shape))
        pyro.sample(kind.name, law)


def _bend(kind: SiteKind, flat: Tensor) -> tuple[Tensor, Tensor]:
    """From the unconstrained scale to the support, and the log-volume of that step."""
    batch = flat.shape[:-1]
    inner = flat.reshape(*batch, *kind.unconstrained_shape)
    value = kind.bijection(inner)
    volume = kind.bijection.log_abs_det_jacobian(inner, value)
    return value, volume.reshape(*batch, -1).sum(-1)


class _Bent(dist.TransformedDistribution):
    """A Gaussian mapped onto a support, with its entropy from draws of the volume."""

    def __init__(self, base: Any, kind: SiteKind) -> None:
        self._kind = kind
        inner = torch.Size(kind.unconstrained_shape)
        flat = torch.Size((kind.unconstrained,))
        super().__init__(base, [ReshapeTransform(flat, inner), kind.bijection])

    def entropy(self) -> Tensor:
        """H[base] + E log|det|."""
        _, volume = _bend(self._kind, self.base_dist.rsample((DRAWS,)))
        return self.base_dist.entropy() + volume.mean(0)
