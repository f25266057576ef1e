"""How much one noisy measurement says about a binary class."""

from __future__ import annotations

from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from boed.problems.problem import check_design
from boed.problems.quadrature import gaussian_eig


@dataclass(frozen=True, eq=False, kw_only=True)
class ClassInformation:
    """v in {0, 1} with equal odds, y ~ N(v mu, 1), design [mu].

    The smallest case of EIG about a question v (Harvey et al. 2021): two unit Gaussians
    at distance mu, a binary-input Gaussian channel.
    """

    name: str = "class information"
    observation: str = "y"
    target: tuple[str, ...] = ("v",)
    design_dims: int = 1
    bounds: Float[Tensor, "2 1"] | None = None

    def model(self, design: Float[Tensor, "*batch 1"]) -> Float[Tensor, "*batch"]:
        """Sites v (0 or 1) and y, `[*batch]`.

        Raises:
            ValueError: a design of another shape.
        """
        check_design(self.name, design, (1,))
        with pyro.plate_stack("plate", design.shape[:-1]):
            v = pyro.sample("v", dist.Bernoulli(design.new_tensor(0.5)))
            return pyro.sample("y", dist.Normal(v * design[..., 0], 1.0))

    def exact_eig(self, design: Float[Tensor, "*batch 1"]) -> Float[Tensor, "*batch"]:
        """Quadrature over y.

        Raises:
            ValueError: a design of another shape.
        """
        check_design(self.name, design, (1,))
        half = torch.full((2,), 0.5, dtype=torch.float64)
        v = torch.tensor([0.0, 1.0], dtype=torch.float64)
        values = [gaussian_eig(v * mu, half, 1.0) for mu in design.double().reshape(-1)]
        return torch.stack(values).reshape(design.shape[:-1])
