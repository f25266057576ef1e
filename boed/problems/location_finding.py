"""Find hidden sources from the intensity of their signal, in the variants of the literature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from scipy.stats import ncx2
from torch import Tensor

from boed.problems.problem import check_design, check_positive
from boed.problems.quadrature import crowded_nodes, gaussian_eig, legendre_nodes


@dataclass(frozen=True, eq=False, kw_only=True)
class LocationFinding:
    """Variant A: sources theta_k ~ N(0, I), observed log intensity ~ N(ln mu(theta, d), sigma).

    mu(theta, d) = b + sum_k 1 / (m + |theta_k - d|^2); Foster et al. 2021 (Deep Adaptive Design,
    Sec. 6.1). The site y is the logarithm of the intensity. A design is one point, with a scalar
    y, or with `looks` that many points at once.

    Args:
        sources: number of sources.
        dimensions: of space.
        base_signal: b, the intensity of the background.
        max_signal: m, which bounds the intensity at a source by b + 1 / m.
        noise: sigma, on the log intensity.
        looks: points of a joint design; None for a single look.

    Raises:
        ValueError: a setting that is not positive.
    """

    sources: int = 2
    dimensions: int = 2
    base_signal: float = 0.1
    max_signal: float = 1e-4
    noise: float = 0.5
    looks: int | None = None
    name: str = "location finding A"
    observation: str = "y"
    target: tuple[str, ...] = ("theta",)
    bounds: Float[Tensor, "2 K"] | None = None

    def __post_init__(self) -> None:
        check_positive(
            self.name,
            sources=self.sources,
            dimensions=self.dimensions,
            base_signal=self.base_signal,
            max_signal=self.max_signal,
            noise=self.noise,
            looks=self.looks or 1,
        )

    @property
    def design_dims(self) -> int:
        return 1 if self.looks is None else 2

    def model(self, design: Float[Tensor, "*batch K"]) -> Tensor:
        """Sites theta `[*batch, sources, K]` and y `[*batch]`, or `[*batch, looks]` if joint.

        Raises:
            ValueError: a design of another shape.
        """
        return _model(self, design)

    def prior(self, design: Tensor) -> dist.TorchDistribution:
        """Of all sources together, event `[sources, K]`, on the design's device and type."""
        zeros = design.new_zeros(self.sources, self.dimensions)
        return dist.Normal(zeros, 1.0).to_event(2)

    def signal(
        self, theta: Float[Tensor, "*batch S K"], design: Float[Tensor, "*batch K"]
    ) -> Float[Tensor, "*batch"]:
        """ln mu(theta, d), the observation without noise."""
        return _signal(self, [_squared(each, design) for each in theta.unbind(-2)])

    def exact_eig(self, design: Float[Tensor, "*batch K"]) -> Float[Tensor, "*batch"]:
        """Quadrature for a single look at one or two sources.

        |theta_k - d|^2 is non-central chi-squared, so one dimension per source is left.

        Raises:
            ValueError: a design of another shape.
            NotImplementedError: several looks or more than two sources.
        """
        _check(self, design)
        if self.looks is not None or self.sources > 2:
            raise NotImplementedError(
                f"{self.name}: exact for one look at one or two sources; "
                f"got looks={self.looks} and {self.sources} sources"
            )
        points = design.double().reshape(-1, self.dimensions)
        return torch.stack([self._one_look(d) for d in points]).reshape(design.shape[:-1])

    def _one_look(self, d: Float[Tensor, " K"]) -> Float[Tensor, ""]:
        centre = d.square().sum().item()
        log_r, weights = legendre_nodes(150, math.log(1e-6), math.log(math.sqrt(centre) + 9))
        squared = (2 * log_r).exp()
        density = ncx2.pdf(squared.numpy(), self.dimensions, centre)
        weights = weights * torch.from_numpy(density) * 2 * squared
        weights /= weights.sum()
        if self.sources == 1:
            return gaussian_eig(_signal(self, [squared]), weights, self.noise)
        pairs = torch.cartesian_prod(squared, squared).unbind(-1)
        return gaussian_eig(
            _signal(self, pairs), torch.outer(weights, weights).flatten(), self.noise
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class LocationFindingUnitSquare:
    """Unit-square variant: sources uniform in [0, 1]^2 and designs in [0, 1]^2.

    With one source the setting of Huang et al. 2025 (ALINE); with two it circulates, too. Intensity
    and noise as in `LocationFinding`. The variants' numbers cannot be compared.

    Args:
        sources: number of sources.
        base_signal: b, the intensity of the background.
        max_signal: m, which bounds the intensity at a source by b + 1 / m.
        noise: sigma, on the log intensity.
        looks: points of a joint design; None for a single look.

    Raises:
        ValueError: a setting that is not positive.
    """

    sources: int = 1
    base_signal: float = 0.1
    max_signal: float = 1e-4
    noise: float = 0.5
    looks: int | None = None
    name: str = "location finding, unit square"
    observation: str = "y"
    target: tuple[str, ...] = ("theta",)

    def __post_init__(self) -> None:
        check_positive(
            self.name,
            sources=self.sources,
            base_signal=self.base_signal,
            max_signal=self.max_signal,
            noise=self.noise,
            looks=self.looks or 1,
        )

    @property
    def dimensions(self) -> int:
        return 2

    @property
    def design_dims(self) -> int:
        return 1 if self.looks is None else 2

    @property
    def bounds(self) -> Float[Tensor, "2 2"]:
        return torch.tensor([[0.0, 0.0], [1.0, 1.0]])

    def model(self, design: Float[Tensor, "*batch 2"]) -> Tensor:
        """Sites theta `[*batch, sources, 2]` and y `[*batch]`, or `[*batch, looks]` if joint.

        Raises:
            ValueError: a design of another shape or outside the unit square.
        """
        return _model(self, design)

    def prior(self, design: Tensor) -> dist.TorchDistribution:
        """Of all sources together, event `[sources, 2]`, on the design's device and type."""
        zeros = design.new_zeros(self.sources, 2)
        return dist.Uniform(zeros, zeros + 1).to_event(2)

    def signal(
        self, theta: Float[Tensor, "*batch S 2"], design: Float[Tensor, "*batch 2"]
    ) -> Float[Tensor, "*batch"]:
        """ln mu(theta, d), the observation without noise."""
        return _signal(self, [_squared(each, design) for each in theta.unbind(-2)])

    def exact_eig(self, design: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
        """Quadrature over the square, with nodes that crowd around the design.

        Raises:
            ValueError: a design of another shape or outside the unit square.
            NotImplementedError: several looks or sources.
        """
        _check(self, design)
        if self.looks is not None or self.sources > 1:
            raise NotImplementedError(
                f"{self.name}: exact for one look at one source; "
                f"got looks={self.looks} and {self.sources} sources"
            )
        points = design.double().reshape(-1, 2)
        return torch.stack([self._one_look(d) for d in points]).reshape(design.shape[:-1])

    def _one_look(self, d: Float[Tensor, " 2"]) -> Float[Tensor, ""]:
        (x, along), (y, down) = (crowded_nodes(48, 0, 1, at=float(each)) for each in d)
        squared = ((x - d[0])[:, None] ** 2 + (y - d[1]) ** 2).flatten()
        return gaussian_eig(
            _signal(self, [squared]), torch.outer(along, down).flatten(), self.noise
        )


def _signal(
    problem: LocationFinding | LocationFindingUnitSquare,
    squared: Sequence[Float[Tensor, "*batch"]],
) -> Float[Tensor, "*batch"]:
    """ln(b + sum_k 1 / (m + r_k^2)) from squared distances."""
    total: Tensor | float = problem.base_signal
    for each in squared:
        total = total + (problem.max_signal + each).reciprocal()
    return torch.as_tensor(total).log()


def _squared(
    source: Float[Tensor, "*batch K"], design: Float[Tensor, "*batch K"]
) -> Float[Tensor, "*batch"]:
    """|theta_k - d|^2, summed by hand: a reduction over K = 2 numbers is ten times slower."""
    total: Tensor | float = 0.0
    for a, b in zip(source.unbind(-1), design.unbind(-1), strict=True):
        total = total + (a - b).square()
    return torch.as_tensor(total)


def _model(problem: LocationFinding | LocationFindingUnitSquare, design: Tensor) -> Tensor:
    _check(problem, design)
    with pyro.plate_stack("plate", design.shape[: -problem.design_dims]):
        theta = pyro.sample("theta", problem.prior(design))
        if problem.looks is None:
            return pyro.sample("y", dist.Normal(problem.signal(theta, design), problem.noise))
        signal = problem.signal(theta[..., None, :, :], design)
        return pyro.sample("y", dist.Normal(signal, problem.noise).to_event(1))


def _check(problem: LocationFinding | LocationFindingUnitSquare, design: Tensor) -> None:
    event: tuple[int, ...] = (problem.dimensions,)
    event = event if problem.looks is None else (problem.looks, *event)
    check_design(problem.name, design, event, bounds=problem.bounds)
