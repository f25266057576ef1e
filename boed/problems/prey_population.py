"""How many prey to put before a predator, to learn how it hunts."""

from __future__ import annotations

from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from boed.foundation.recording import is_recorded
from boed.problems.problem import check_design, check_positive
from boed.problems.quadrature import discrete_eig, legendre_nodes, normal_weights


@dataclass(frozen=True, eq=False, kw_only=True)
class PreyPopulation:
    """Prey eaten within a day: y ~ Bin(N_0, 1 - N(tau) / N_0), design [N_0], a whole number.

    The number left follows Holling's type III response, dN/dt = -a N^2 / (1 + a h N^2), with attack
    rate ln a ~ N(-1.4, 1.35) and handling time ln h ~ N(-1.4, 1.35). Moffat, Hainy, Papanikolaou
    and Drovandi 2020, with the settings of Blau et al. 2022, whose code takes 24 steps of
    Runge-Kutta where this has the solution in closed form: the positive root N of

        a h N^2 + (1 / N_0 - a h N_0 + a tau) N - 1 = 0.

    Args:
        most: the largest number of prey.
        hours: tau, how long the predator hunts.

    Raises:
        ValueError: a setting that is not positive.
    """

    most: int = 300
    hours: float = 24.0
    name: str = "prey population"
    observation: str = "y"
    target: tuple[str, ...] = ("log_a", "log_h")
    design_dims: int = 1

    def __post_init__(self) -> None:
        check_positive(self.name, most=self.most, hours=self.hours)

    @property
    def bounds(self) -> Float[Tensor, "2 1"]:
        return torch.tensor([[1.0], [float(self.most)]])

    @property
    def designs(self) -> Float[Tensor, "D 1"]:
        """All that there are: 1 to `most` prey."""
        return torch.arange(1.0, self.most + 1)[:, None]

    @property
    def logarithmic(self) -> tuple[float]:
        """Prey count in powers from one on; see `PolicyConfig`."""
        return (1.0,)

    def model(self, design: Float[Tensor, "*batch 1"]) -> Float[Tensor, "*batch"]:
        """Sites log_a, log_h and y in 0..N_0, `[*batch]`.

        Raises:
            ValueError: a design of another shape, below 1, above `most` or no whole number.
        """
        self._check(design)
        with pyro.plate_stack("plate", design.shape[:-1]):
            law = dist.Normal(design.new_tensor(-1.4), 1.35)
            log_a, log_h = pyro.sample("log_a", law), pyro.sample("log_h", law)
            return pyro.sample("y", self._eaten(log_a, log_h, design[..., 0]))

    def exact_eig(self, design: Float[Tensor, "*batch 1"]) -> Float[Tensor, "*batch"]:
        """Quadrature over ln a and ln h, and enumeration of y.

        Raises:
            ValueError: as `model` does.
        """
        self._check(design)
        nodes, weights = normal_weights(legendre_nodes(80, -1.4 - 9, -1.4 + 9), -1.4, 1.35)
        log_a, log_h = torch.cartesian_prod(nodes, nodes).unbind(-1)
        joint = torch.outer(weights, weights).flatten()
        values = []
        for number in design.double().reshape(-1):
            y = torch.arange(int(number) + 1, dtype=torch.float64)[:, None]
            law = self._eaten(log_a, log_h, number)
            values.append(discrete_eig(law.log_prob(y).exp(), joint))
        return torch.stack(values).reshape(design.shape[:-1])

    def left(self, log_a: Tensor, log_h: Tensor, number: Tensor) -> Tensor:
        """N(tau), how many of so many prey are left; in float64, where the root is exact enough."""
        a, h, first = log_a.double().exp(), log_h.double().exp(), number.double()
        c = 1 / first - a * h * first + a * self.hours
        root = (c.square() + 4 * a * h).sqrt()
        return torch.where(c > 0, 2 / (c.abs() + root), (c.abs() + root) / (2 * a * h))

    def _eaten(self, log_a: Tensor, log_h: Tensor, number: Tensor) -> dist.Binomial:
        """Binomial by its logit ln(a tau N_0) - ln(1 + a h N N_0), which loses nothing."""
        left = self.left(log_a, log_h, number)
        a, h, first = log_a.double().exp(), log_h.double().exp(), number.double()
        logits = (a * self.hours * first).log() - torch.log1p(a * h * left * first)
        return dist.Binomial(number, logits=logits.to(log_a.dtype))

    def _check(self, design: Tensor) -> None:
        check_design(self.name, design, (1,), bounds=self.bounds)
        if not is_recorded() and not bool((design.detach() == design.detach().round()).all()):
            fraction = design.detach()[design.detach() != design.detach().round()]
            raise ValueError(
                f"{self.name}: design must be a whole number of prey, got {float(fraction[0])}"
            )
