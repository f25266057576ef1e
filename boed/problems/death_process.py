"""When to count the infected of a population."""

from __future__ import annotations

from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from boed.problems.problem import check_design, check_positive
from boed.problems.quadrature import discrete_eig, legendre_nodes, normal_weights
from boed.problems.truncated_normal import LowerTruncatedNormal


@dataclass(frozen=True, eq=False, kw_only=True)
class DeathProcess:
    """Infection rate theta ~ N(1, 1) truncated to > 0; y ~ Bin(50, 1 - exp(-t theta)), design [t].

    Cook, Gibson & Gilligan 2008; with this prior and population in Kleinegesse et al. 2020 and
    Foster et al. 2021 (Deep Adaptive Design, Sec. 6.3). One look; the best is at t = 1.28.

    Args:
        population: number of individuals.
        latest: latest time at which one can look.

    Raises:
        ValueError: a population or latest that is not positive.
    """

    population: int = 50
    latest: float = 10.0
    name: str = "death process"
    observation: str = "y"
    target: tuple[str, ...] = ("theta",)
    design_dims: int = 1

    def __post_init__(self) -> None:
        check_positive(self.name, population=self.population, latest=self.latest)

    @property
    def bounds(self) -> Float[Tensor, "2 1"]:
        return torch.tensor([[0.0], [self.latest]])

    def model(self, design: Float[Tensor, "*batch 1"]) -> Float[Tensor, "*batch"]:
        """Sites theta > 0 and y in 0..population, `[*batch]`.

        Raises:
            ValueError: a design of another shape, before 0 or after the latest time.
        """
        check_design(self.name, design, (1,), bounds=self.bounds)
        one = design.new_ones(())
        with pyro.plate_stack("plate", design.shape[:-1]):
            theta = pyro.sample("theta", LowerTruncatedNormal(one, one, 0.0))
            return pyro.sample("y", self._count(theta, design[..., 0]))

    def exact_eig(self, design: Float[Tensor, "*batch 1"]) -> Float[Tensor, "*batch"]:
        """Quadrature over theta and enumeration of y.

        Raises:
            ValueError: a design of another shape, before 0 or after the latest time.
        """
        check_design(self.name, design, (1,), bounds=self.bounds)
        theta, weights = normal_weights(legendre_nodes(400, 0, 10), 1, 1)
        y = torch.arange(self.population + 1, dtype=torch.float64)[:, None]
        values = [
            discrete_eig(self._count(theta, t).log_prob(y).exp(), weights)
            for t in design.double().reshape(-1)
        ]
        return torch.stack(values).reshape(design.shape[:-1])

    def _count(self, theta: Tensor, t: Tensor) -> dist.Binomial:
        """Bin(population, 1 - e^-x) at x = t theta, by its logit ln(e^x - 1)."""
        x = (theta * t).clamp(min=torch.finfo(theta.dtype).tiny)
        logits = x + torch.log(-torch.expm1(-x))
        return dist.Binomial(self.population, logits=logits)
