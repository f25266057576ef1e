"""How much a person prefers one basket of goods over another."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor
from torch.special import entr, ndtr, ndtri

from boed.problems.censored import CensoredSigmoidNormal
from boed.problems.problem import check_design, check_positive
from boed.problems.quadrature import legendre_nodes


@dataclass(frozen=True, eq=False, kw_only=True)
class ConstantElasticity:
    """Constant elasticity of substitution: two baskets of three goods and a preference in (0, 1).

    Utility U(x) = (sum_i alpha_i x_i^rho)^(1/rho) with rho ~ Beta(1, 1), alpha ~ Dirichlet(1, 1, 1)
    and ln u ~ N(1, 3). The answer is sigmoid(eta), eta ~ N(u (U(d) - U(d')), u tau (1 + |d - d'|)),
    censored to [2^-22, 1 - 2^-22]. The experiment of Foster et al. 2019 with the settings of
    Foster et al. 2020; tau = 0.005. A design is (d, d'), each good from 0 to 100.

    Float32 rounds answers close to 1 to 2^-24, wider than the narrowest noise; float64 designs
    make the model double throughout.

    The code of Blau et al. 2022 and of Shen et al. 2023 (vsOED) has 0.01 + 0.99 rho in place of
    rho, and goods from 0.01 to 100: `least_elasticity=0.01, least_good=0.01`.

    Args:
        response_sd: tau.
        low: the smallest answer.
        least_elasticity: the exponent is uniform from here to 1.
        least_good: of each good, in a basket.

    Raises:
        ValueError: a setting that is not positive, low >= 1/2, or a least value outside [0, 1).
    """

    response_sd: float = 0.005
    low: float = 2.0**-22
    least_elasticity: float = 0.0
    least_good: float = 0.0
    name: str = "constant elasticity"
    observation: str = "y"
    target: tuple[str, ...] = ("rho", "alpha", "log_u")
    design_dims: int = 1

    def __post_init__(self) -> None:
        check_positive(self.name, response_sd=self.response_sd, low=self.low)
        if self.low >= 0.5:
            raise ValueError(f"{self.name}: low is {self.low}, expected below 0.5")
        for name in ("least_elasticity", "least_good"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"{self.name}: {name} is {getattr(self, name)}, expected in [0, 1)"
                )

    @property
    def outcome_scale(self) -> str:
        """On which a policy network reads the answers."""
        return "logit"

    @property
    def bounds(self) -> Float[Tensor, "2 6"]:
        return torch.tensor([[self.least_good], [100.0]]).repeat(1, 6)

    def model(self, design: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch"]:
        """Sites rho, alpha `[*batch, 3]`, log_u and y, `[*batch]`.

        Raises:
            ValueError: a design of another shape or out of bounds.
        """
        check_design(self.name, design, (6,), bounds=self.bounds)
        one = design.new_ones(())
        with pyro.plate_stack("plate", design.shape[:-1]):
            rho = pyro.sample("rho", dist.Beta(one, one))
            alpha = pyro.sample("alpha", dist.Dirichlet(design.new_ones(3)))
            u = pyro.sample("log_u", dist.Normal(one, 3.0)).exp()
            gain, std = self._gain(rho, alpha, design), self._std(design)
            return pyro.sample("y", CensoredSigmoidNormal(u * gain, u * std, self.low))

    def exact_eig(
        self, design: Float[Tensor, "*batch 6"], points: int = 2**17, seed: int = 0
    ) -> Float[Tensor, "*batch"]:
        """H[p(eta)] - E H[p(eta | theta)] with a scrambled Sobol sequence over theta.

        eta = u w with w ~ N(U(d) - U(d'), tau (1 + |d - d'|)), so that p(ln |eta|) is a mixture
        of normals of sd 3 and its entropy one smooth integral. Within 0.001 nats of the truth.

        Args:
            design: where.
            points: of the sequence, a power of two.
            seed: of the scrambling; other seeds show the error.

        Raises:
            ValueError: as `model` does.
        """
        check_design(self.name, design, (6,), bounds=self.bounds)
        sobol = torch.quasirandom.SobolEngine(5, scramble=True, seed=seed)
        v = sobol.draw(points, dtype=torch.float64).clamp(1e-12, 1 - 1e-12)
        first = 1 - v[:, 1].sqrt()
        second = (1 - first) * v[:, 2]
        alpha = torch.stack([first, second, 1 - first - second], -1)
        u, z = (1 + 3 * ndtri(v[:, 3])).exp(), ndtri(v[:, 4])
        values = []
        for one in design.double().reshape(-1, 6):
            gain, std = self._gain(v[:, 0], alpha, one), self._std(one)
            marginal = self._marginal_entropy(gain + std * z)
            values.append(marginal - self._entropy(u * gain, u * std).mean())
        return torch.stack(values).reshape(design.shape[:-1])

    def _gain(self, rho: Tensor, alpha: Tensor, design: Tensor) -> Tensor:
        """U(d) - U(d')."""
        ours, theirs = design[..., :3], design[..., 3:]
        rho = self.least_elasticity + (1 - self.least_elasticity) * rho
        return _utility(rho, alpha, ours) - _utility(rho, alpha, theirs)

    def _std(self, design: Tensor) -> Tensor:
        """tau (1 + |d - d'|)."""
        distance = torch.linalg.vector_norm(design[..., :3] - design[..., 3:], dim=-1)
        return self.response_sd * (1 + distance)

    def _entropy(self, mean: Tensor, sd: Tensor) -> Tensor:
        """Entropy of eta ~ N(mean, sd) censored to [-end, end]: density inside, mass outside."""
        end = -math.log(self.low / (1 - self.low))
        a, b = (-end - mean) / sd, (end - mean) / sd
        inside = (ndtr(b) - ndtr(a)).clamp(min=0)
        square = inside + _times_density(a) - _times_density(b)  # integral of z^2 phi(z)
        ends = entr(ndtr(a)) + entr(ndtr(-b))
        return ends + inside * (sd.log() + 0.5 * math.log(2 * math.pi)) + 0.5 * square

    def _marginal_entropy(self, w: Float[Tensor, " N"]) -> Float[Tensor, ""]:
        """Entropy of eta = u w censored to [-end, end], with ln u ~ N(1, 3)."""
        end = -math.log(self.low / (1 - self.low))
        total = w.new_zeros(())
        for sign in (-1, 1):
            centre = (sign * w[sign * w > 0]).log() + 1  # of ln |eta|
            if len(centre) == 0:
                continue
            x, weights = legendre_nodes(200, centre.min().item() - 24, math.log(end))
            density = torch.zeros_like(x)
            for some in centre.split(8192):
                density += torch.exp(-0.5 * ((x[:, None] - some) / 3) ** 2).sum(-1)
            density /= 3 * math.sqrt(2 * math.pi) * len(w)
            outside = ndtr((centre - math.log(end)) / 3).sum() / len(w)
            total = total + entr(outside) + (entr(density) + density * x) @ weights
        return total


def _utility(rho: Tensor, alpha: Tensor, basket: Tensor) -> Tensor:
    """(sum_i alpha_i x_i^rho)^(1/rho), in a form that holds as rho goes to 0."""
    rho = rho.clamp(min=1e-6)
    powers = torch.expm1(rho[..., None] * basket.log())  # x^rho - 1; the alphas sum to 1
    return torch.exp(torch.log1p((alpha * powers).sum(-1).clamp(min=-1)) / rho)


def _times_density(z: Tensor) -> Tensor:
    """z phi(z), 0 far out."""
    return z * torch.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
