"""Linear measurements of a Gaussian unknown, whose EIG is in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from boed.problems.problem import check_design, check_positive


@dataclass(frozen=True, eq=False, kw_only=True)
class LinearGaussian:
    """theta ~ N(0, S), y = X theta + noise: EIG = 1/2 ln det(I + X S X^T / sigma^2).

    Bayesian D-optimality (Chaloner & Verdinelli 1995). A design is one row x, with a
    scalar y, or with `looks` a matrix of rows X that are measured together.

    Args:
        prior_covariance: S.
        noise: sigma, the standard deviation of one measurement.
        looks: rows of a joint design; None for a single row.

    Raises:
        ValueError: a covariance that is not symmetric positive definite, or noise or looks that
            are not positive.
    """

    prior_covariance: Float[Tensor, "K K"]
    noise: float = 1.0
    looks: int | None = None
    name: str = "linear-Gaussian"
    observation: str = "y"
    target: tuple[str, ...] = ("theta",)
    bounds: Float[Tensor, "2 K"] | None = None

    def __post_init__(self) -> None:
        check_positive(self.name, noise=self.noise, looks=self.looks or 1)
        s = self.prior_covariance
        square = s.ndim == 2 and s.shape[0] == s.shape[1] and bool(torch.allclose(s, s.mT))
        if not square or not bool((torch.linalg.eigvalsh(s) > 0).all()):
            raise ValueError(
                f"{self.name}: prior_covariance must be symmetric positive definite, got {s}"
            )

    @classmethod
    def one_dimension(cls, prior_sd: float = 1.0, noise: float = 1.0) -> LinearGaussian:
        """y = d theta + noise with design [d]: EIG = 1/2 ln(1 + d^2 s^2 / sigma^2)."""
        return cls(
            prior_covariance=torch.tensor([[prior_sd**2]]), noise=noise, name="linear-Gaussian 1-D"
        )

    @classmethod
    def three_measurements(cls) -> LinearGaussian:
        """Prior sd (1, 1.5), noise sd 1 and three rows; e1, e2, e2 give 1.1989476 nats."""
        return cls(prior_covariance=torch.diag(torch.tensor([1.0, 1.5]) ** 2), looks=3)

    @property
    def design_dims(self) -> int:
        return 1 if self.looks is None else 2

    def model(self, design: Float[Tensor, "*batch K"]) -> Tensor:
        """Sites theta `[*batch, K]` and y `[*batch]`, or `[*batch, looks]` of a joint design.

        Raises:
            ValueError: a design of another shape.
        """
        self._check(design)
        s = self.prior_covariance.to(design)
        with pyro.plate_stack("plate", design.shape[: -self.design_dims]):
            theta = pyro.sample("theta", dist.MultivariateNormal(s.new_zeros(len(s)), s))
            if self.looks is None:
                return pyro.sample("y", dist.Normal((design * theta).sum(-1), self.noise))
            mean = (design @ theta[..., None])[..., 0]
            return pyro.sample("y", dist.Normal(mean, self.noise).to_event(1))

    def exact_eig(self, design: Float[Tensor, "*batch K"]) -> Float[Tensor, "*batch"]:
        """1/2 ln det(I + X S X^T / sigma^2).

        Raises:
            ValueError: a design of another shape.
        """
        self._check(design)
        rows = design.double() if self.looks else design.double()[..., None, :]
        signal = rows @ self.prior_covariance.to(rows) @ rows.mT / self.noise**2
        return torch.linalg.slogdet(torch.eye(rows.shape[-2]).to(rows) + signal)[1] / 2

    def _check(self, design: Tensor) -> None:
        columns = len(self.prior_covariance)
        event = (columns,) if self.looks is None else (self.looks, columns)
        check_design(self.name, design, event)
