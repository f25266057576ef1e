"""Size of a policy network, and the designs that it chooses from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from boed.foundation.checks import at_least, attributes, more_than
from boed.foundation.options import COUNT
from boed.foundation.registry import check_known

ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU}
"""Between the layers, by name."""

TINY = 2.0**-24
"""The least positive number that the logarithmic scales tell from 0."""

OUTCOME_SCALES: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda outcomes: outcomes,
    "log": lambda outcomes: outcomes.clamp(min=TINY).log(),
    "logit": lambda outcomes: torch.logit(outcomes, TINY),
}
"""What a policy network reads of an outcome, by name."""


@dataclass(frozen=True, kw_only=True)
class PolicyConfig:
    """Size of a policy network.

    Attributes:
        design_dim: K, numbers in a design.
        outcome_dim: numbers in an outcome, all its event dimensions together.
        hidden: width of the hidden layers.
        embedding: width of the pooled summary of the history.
        heads: weighted means of the designs made so far, from which the next one is reckoned; their
            weights are learned. None in the architecture of the paper.
        activation: between the layers, a name of `ACTIVATIONS`.
        designs: the finite set that a design is of, rows of K; none where it is continuous.
        lower, upper: bounds of each entry of a design; none where it may be any number.
        scale: size of designs where they have no bounds; the network works in units of it, and
            chooses none beyond 100 of them.
        logarithmic: of each entry the size c from which on it counts in powers: the network works
            with log(x - lower + c), as for a delay of days to decades. 0 where it counts in steps.
        outcome_scale: what the network reads of an outcome, a name of `OUTCOME_SCALES`: the number,
            its logarithm (above 0), or its logit (between 0 and 1, as of a slider).
        at_once: looks that are chosen together, before any of them has an outcome.

    Raises:
        ValueError: a size below 1, bounds that do not enclose anything, or an entry that counts in
            powers without bounds.
    """

    design_dim: int
    outcome_dim: int = 1
    hidden: int = 128
    embedding: int = 32
    heads: int = 0
    activation: str = "gelu"
    lower: tuple[float, ...] | None = None
    upper: tuple[float, ...] | None = None
    scale: float = 1.0
    designs: tuple[tuple[float, ...], ...] | None = None
    logarithmic: tuple[float, ...] | None = None
    outcome_scale: str = "linear"
    at_once: int = 1

    def __post_init__(self) -> None:
        at_least(1, **attributes(self, "design_dim", "outcome_dim", "hidden", "embedding"))
        COUNT.check("at_once", self.at_once)
        at_least(0, heads=self.heads)
        more_than(0, scale=self.scale)
        check_known("activation", self.activation, ACTIVATIONS)
        check_known("outcome_scale", self.outcome_scale, OUTCOME_SCALES)
        if (self.lower is None) != (self.upper is None):
            raise ValueError("lower and upper bounds go together; got only one of them")
        for name in ("lower", "upper", "logarithmic"):
            bound = getattr(self, name)
            if bound is None:
                continue
            object.__setattr__(self, name, tuple(map(float, bound)))
            if len(bound) != self.design_dim:
                raise ValueError(
                    f"{name} has {len(bound)} entries, expected one for each of the "
                    f"{self.design_dim} of a design"
                )
        if self.logarithmic is not None:
            at_least(0, logarithmic=min(self.logarithmic))
            if any(self.logarithmic) and self.lower is None and self.designs is None:
                raise ValueError(
                    f"logarithmic is {self.logarithmic}, which is for designs with bounds or of a "
                    "set; expected lower and upper, or none"
                )
        if self.designs is not None:
            rows = tuple(tuple(map(float, row)) for row in self.designs)
            object.__setattr__(self, "designs", rows)
            if len(rows) < 2 or any(len(row) != self.design_dim for row in rows):
                raise ValueError(
                    f"designs has {len(rows)} rows of {sorted({len(row) for row in rows})} numbers,"
                    f" expected at least 2 rows of design_dim, {self.design_dim}"
                )
        if self.lower is not None and self.upper is not None:
            for low, high in zip(self.lower, self.upper, strict=True):
                if not low < high:
                    raise ValueError(f"lower {self.lower} is not below upper {self.upper}")
