"""One answer in a task with two alternatives."""

from __future__ import annotations

from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from boed.problems.problem import check_design, check_positive
from boed.problems.quadrature import discrete_eig, legendre_nodes, normal_weights


@dataclass(frozen=True, eq=False, kw_only=True)
class TwoAlternativeChoice:
    """theta ~ N(0, prior_sd), y ~ Bernoulli(sigmoid(theta - d)), design [d].

    A person of ability theta and a question of difficulty d (Rasch 1960).

    Args:
        prior_sd: standard deviation of theta.

    Raises:
        ValueError: a prior_sd that is not positive.
    """

    prior_sd: float = 1.0
    name: str = "two-alternative choice"
    observation: str = "y"
    target: tuple[str, ...] = ("theta",)
    design_dims: int = 1
    bounds: Float[Tensor, "2 1"] | None = None

    def __post_init__(self) -> None:
        check_positive(self.name, prior_sd=self.prior_sd)

    def model(self, design: Float[Tensor, "*batch 1"]) -> Float[Tensor, "*batch"]:
        """Sites theta and y, `[*batch]`; y is 0 or 1.

        Raises:
            ValueError: a design of another shape.
        """
        check_design(self.name, design, (1,))
        with pyro.plate_stack("plate", design.shape[:-1]):
            theta = pyro.sample("theta", dist.Normal(design.new_zeros(()), self.prior_sd))
            return pyro.sample("y", dist.Bernoulli(logits=theta - design[..., 0]))

    def exact_eig(self, design: Float[Tensor, "*batch 1"]) -> Float[Tensor, "*batch"]:
        """Quadrature over theta.

        Raises:
            ValueError: a design of another shape.
        """
        check_design(self.name, design, (1,))
        reach = 9 * self.prior_sd
        theta, weights = normal_weights(legendre_nodes(200, -reach, reach), 0, self.prior_sd)
        yes = torch.sigmoid(theta - design.double().reshape(-1, 1))
        values = [discrete_eig(torch.stack([1 - p, p]), weights) for p in yes]
        return torch.stack(values).reshape(design.shape[:-1])
