"""What a textbook design problem offers."""

from __future__ import annotations

import math
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from boed.eig.model.design_space import DesignSpace
from boed.foundation.checks import describe
from boed.foundation.recording import is_recorded


class Experiment(Protocol):
    """A Pyro model of one look, its sites, and its designs: what a policy is trained for.

    Attributes:
        name: of the problem and its variant.
        observation: the site that is measured.
        target: the sites that the question is about.
    """

    @property
    def name(self) -> str: ...

    @property
    def observation(self) -> str: ...

    @property
    def target(self) -> tuple[str, ...]: ...

    @property
    def bounds(self) -> Float[Tensor, "2 K"] | None:
        """Lowest and highest value of each design coordinate; None where any design is valid."""
        ...

    def model(self, design: Float[Tensor, "*batch K"]) -> Any:
        """One experiment at every design: draws the prior and the observation."""
        ...


def space_of(problem: Experiment | None) -> DesignSpace | None:
    """Its attribute `space`, which an experiment may have: what is forbidden, and what looks cost.

    Raises:
        ValueError: it is something else.
    """
    space = getattr(problem, "space", None)
    if space is not None and not isinstance(space, DesignSpace):
        raise ValueError(
            f"problem {getattr(problem, 'name', problem)}: space is {describe(space)}, expected a "
            "DesignSpace"
        )
    return space


@runtime_checkable
class Problem(Experiment, Protocol):
    """A Pyro model of one experiment, with its true EIG apart from the noisy simulation.

    `model` is what `boed.eig.model_eig` and pyro.contrib.oed take: it draws all its sites with the
    batch shape of the design.

    Attributes:
        design_dims: how many of a design's last dimensions belong to one experiment.
    """

    @property
    def design_dims(self) -> int: ...

    def model(self, design: Float[Tensor, "*batch K"]) -> Tensor: ...

    def exact_eig(self, design: Float[Tensor, "*batch K"]) -> Float[Tensor, "*batch"]:
        """The EIG in nats by closed form, enumeration or quadrature, in float64."""
        ...


def check_design(
    problem: str,
    design: Tensor,
    event: tuple[int, ...],
    *,
    bounds: Float[Tensor, "2 K"] | None = None,
) -> None:
    """Raises what is wrong with a design.

    Args:
        problem: the problem's name, for the message.
        design: `[*batch, *event]`.
        event: shape of one design.
        bounds: lowest and highest value of each coordinate, if designs are bounded.

    Raises:
        ValueError: another trailing shape, not floating point, not finite or out of bounds.
    """
    if tuple(design.shape[design.ndim - len(event) :]) != event or design.ndim < len(event):
        expected = ", ".join(["*batch", *map(str, event)])
        raise ValueError(f"{problem}: design must be [{expected}], got {list(design.shape)}")
    if not design.is_floating_point():
        raise ValueError(f"{problem}: design must be floating point, got {design.dtype}")
    if is_recorded():
        return
    repeated = tuple(slice(0, 1) if step == 0 else slice(None) for step in design.stride())
    seen = design.detach()[repeated]
    if not bool(seen.isfinite().all()):
        raise ValueError(f"{problem}: design has values that are not finite")
    if bounds is None:
        return
    low, high = bounds.to(design)
    if bool((seen < low).any()) or bool((seen > high).any()):
        seen = seen.expand(design.shape).reshape(-1, event[-1])
        raise ValueError(
            f"{problem}: design reaches from {seen.amin(0).tolist()} to {seen.amax(0).tolist()}; "
            f"expected within {low.tolist()} and {high.tolist()}"
        )


def check_positive(problem: str, **values: float) -> None:
    """Raises a ValueError that names the first value that is not positive and finite."""
    for name, value in values.items():
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{problem}: {name} is {value}, expected a positive number")
