"""Which of two rewards a person takes: less today, or 100 later."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from boed.problems.problem import check_design, check_positive
from boed.problems.quadrature import crowded_nodes, discrete_eig, normal_weights


@dataclass(frozen=True, eq=False, kw_only=True)
class HyperbolicDiscounting:
    """Temporal discounting: ln k ~ N(-4.25, 1.5), alpha ~ HalfNormal(2), design (R, D).

    Offer A pays R now, offer B pays 100 after D days. The person takes B (y = 1) with probability
    eps + (1 - 2 eps) Phi((V_B - V_A) / alpha), V_A = R, V_B = 100 / (1 + k D). Vincent 2016 and
    Vincent & Rainforth 2017; settings of Foster et al. 2021 (Deep Adaptive Design, Sec. 6.2),
    whose code has (1 + erf(x)) / 2 = Phi(sqrt(2) x) where the text has Phi(x): we follow the text,
    and `steepness=2**0.5` the code.

    Args:
        epsilon: the rate of slips.
        longest: the longest delay, in days.
        steepness: of the choice: Phi(steepness (V_B - V_A) / alpha).

    Raises:
        ValueError: an epsilon outside [0, 1/2), a longest delay or steepness that is not positive.
    """

    epsilon: float = 0.01
    longest: float = 1e4
    steepness: float = 1.0
    name: str = "hyperbolic discounting"
    observation: str = "y"
    target: tuple[str, ...] = ("log_k", "alpha")
    design_dims: int = 1

    def __post_init__(self) -> None:
        check_positive(self.name, longest=self.longest, steepness=self.steepness)
        if not 0 <= self.epsilon < 0.5:
            raise ValueError(f"{self.name}: epsilon is {self.epsilon}, expected in [0, 0.5)")

    @property
    def bounds(self) -> Float[Tensor, "2 2"]:
        return torch.tensor([[0.0, 0.0], [100.0, self.longest]])

    @property
    def logarithmic(self) -> tuple[float, float]:
        """Delays count in powers from one day on; see `PolicyConfig`."""
        return 0.0, 1.0

    def model(self, design: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
        """Sites log_k, alpha > 0 and y (0 or 1), `[*batch]`.

        Raises:
            ValueError: a design of another shape, a reward outside [0, 100] or a delay below 0 or
                above the longest.
        """
        check_design(self.name, design, (2,), bounds=self.bounds)
        with pyro.plate_stack("plate", design.shape[:-1]):
            log_k = pyro.sample("log_k", dist.Normal(design.new_tensor(-4.25), 1.5))
            alpha = pyro.sample("alpha", dist.HalfNormal(design.new_tensor(2.0)))
            return pyro.sample("y", dist.Bernoulli(self._later(log_k, alpha, design)))

    def exact_eig(self, design: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
        """Quadrature over alpha and ln k, with nodes that crowd where both offers are equal.

        Raises:
            ValueError: as `model` does.
        """
        check_design(self.name, design, (2,), bounds=self.bounds)
        alpha, alpha_weights = normal_weights(crowded_nodes(40, 0, 18, at=0), 0, 2)
        values = []
        for one in design.double().reshape(-1, 2):
            reward, delay = one.tolist()
            indifferent = math.log(max(100 - reward, 1e-9) / max(reward * delay, 1e-9))
            nodes = crowded_nodes(200, -4.25 - 13.5, -4.25 + 13.5, at=indifferent)
            log_k, k_weights = normal_weights(nodes, -4.25, 1.5)
            later = self._later(log_k[:, None], alpha, one).flatten()
            weights = torch.outer(k_weights, alpha_weights).flatten()
            values.append(discrete_eig(torch.stack([1 - later, later]), weights))
        return torch.stack(values).reshape(design.shape[:-1])

    def _later(self, log_k: Tensor, alpha: Tensor, design: Tensor) -> Tensor:
        """P(y = 1), the odds of taking the later reward."""
        reward, delay = design.unbind(-1)
        difference = 100 / (1 + log_k.exp() * delay) - reward
        small = torch.finfo(alpha.dtype).tiny
        choice = torch.special.ndtr(self.steepness * difference / alpha.clamp(min=small))
        return self.epsilon + (1 - 2 * self.epsilon) * choice
