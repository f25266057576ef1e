"""A binary unknown and a binary observation, whose EIG is a sum of four terms."""

from __future__ import annotations

from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from boed.problems.problem import check_design
from boed.problems.quadrature import discrete_eig


@dataclass(frozen=True, eq=False, kw_only=True)
class FiniteSpace:
    """theta ~ Bernoulli(prior), y ~ Bernoulli((d + theta) / 2), design [d] with 0 <= d <= 1.

    The finite problem of Pyro's own tests of optimal experiment design (tests/contrib/oed).

    Args:
        prior: P(theta = 1).

    Raises:
        ValueError: a prior outside (0, 1).
    """

    prior: float = 0.4
    name: str = "finite space"
    observation: str = "y"
    target: tuple[str, ...] = ("theta",)
    design_dims: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.prior < 1:
            raise ValueError(f"{self.name}: prior is {self.prior}, expected within 0 and 1")

    @property
    def bounds(self) -> Float[Tensor, "2 1"]:
        return torch.tensor([[0.0], [1.0]])

    def model(self, design: Float[Tensor, "*batch 1"]) -> Float[Tensor, "*batch"]:
        """Sites theta and y, both 0 or 1, `[*batch]`.

        Raises:
            ValueError: a design of another shape or outside [0, 1].
        """
        check_design(self.name, design, (1,), bounds=self.bounds)
        with pyro.plate_stack("plate", design.shape[:-1]):
            theta = pyro.sample("theta", dist.Bernoulli(design.new_tensor(self.prior)))
            return pyro.sample("y", dist.Bernoulli((design[..., 0] + theta) / 2))

    def exact_eig(self, design: Float[Tensor, "*batch 1"]) -> Float[Tensor, "*batch"]:
        """Enumeration of both thetas and both observations.

        Raises:
            ValueError: a design of another shape or outside [0, 1].
        """
        check_design(self.name, design, (1,), bounds=self.bounds)
        prior = torch.tensor([1 - self.prior, self.prior], dtype=torch.float64)
        yes = (design.double().reshape(-1, 1) + torch.tensor([0.0, 1.0])) / 2
        values = [discrete_eig(torch.stack([1 - p, p]), prior) for p in yes]
        return torch.stack(values).reshape(design.shape[:-1])
