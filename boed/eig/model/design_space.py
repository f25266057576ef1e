"""Which designs of a Pyro model may be taken, and what they and the way to them cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boed.foundation.checks import called, calling, describe
from boed.foundation.fingerprint import fingerprint, of_function
from boed.foundation.identity import DIGITS

TRIES = 1000
"""How often a random design is drawn anew where those before it were not allowed."""

ANCHORS = 1024
"""Allowed designs among which `nearest` looks for a way out of a forbidden region."""

HALVINGS = 24
"""Of that way, to find where the region ends."""

ROUNDING = 1e-6
"""By how much a sum of costs may be above a budget, relative to it."""

LISTED = 64
"""Designs of a set up to which `facts` lists them."""


@dataclass(frozen=True, eq=False, kw_only=True)
class DesignSpace:
    """The designs of one look: an interval for each coordinate or a finite set, less the forbidden.

    All parts are optional and go together: without any of them every finite design is allowed,
    costs 1 and is reached for nothing. A joint design of several looks counts as one, its
    coordinates in a row.

    >>> space = DesignSpace(
    ...     bounds=torch.tensor([[0.0, 0.0], [1.0, 1.0]]),
    ...     allowed=lambda design: design.norm(dim=-1) > 0.2,  # a pillar in the corner
    ...     travel=lambda a, b: (a - b).norm(dim=-1),
    ... )
    >>> space.contains(torch.tensor([[0.1, 0.1], [0.5, 0.5], [0.5, 1.5]]))
    tensor([False,  True, False])
    >>> space.costs(torch.tensor([[0.5, 0.5]]), torch.tensor([[0.5, 1.0]]))
    tensor([1.5000])

    Attributes:
        bounds: lowest and highest value of each coordinate.
        designs: the only designs that there are.
        allowed: `[*batch, K]` to whether each may be taken, `[*batch]`.
        cost: `[*batch, K]` to the cost of a look there, `[*batch]`; 1 each if not given.
        travel: `[*batch, K]` twice to the cost of going from the first to the second, `[*batch]`.
        start: where the way to the first look begins, `[K]`; it costs nothing if not given.

    Raises:
        ValueError: bounds, designs or start of a wrong shape, not finite, or that contradict each
            other; a set of which no design is allowed.
    """

    bounds: Float[Tensor, "2 K"] | None = None
    designs: Float[Tensor, "D K"] | None = None
    allowed: Callable[[Tensor], Tensor] | None = None
    cost: Callable[[Tensor], Tensor] | None = None
    travel: Callable[[Tensor, Tensor], Tensor] | None = None
    start: Float[Tensor, " K"] | None = None

    def __post_init__(self) -> None:
        for name, dims in (("bounds", 2), ("designs", 2), ("start", 1)):
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, Tensor):
                raise ValueError(f"{name} is {describe(value)}, expected a tensor")
            if value.ndim != dims or value.numel() == 0 or not bool(value.isfinite().all()):
                raise ValueError(
                    f"{name} must be {dims}-dimensional, finite and not empty, "
                    f"got shape {tuple(value.shape)}"
                )
        if self.bounds is not None and not _enclose(self.bounds):
            raise ValueError(
                "bounds must be [2, K] with the lowest values first and below the highest, "
                f"got {self.bounds.tolist()}"
            )
        widths = {
            name: value.shape[-1]
            for name in ("bounds", "designs", "start")
            if (value := getattr(self, name)) is not None
        }
        if len(set(widths.values())) > 1:
            raise ValueError(f"designs have different numbers of coordinates: {widths}")
        if self.designs is not None and not bool(self._permitted(self.designs).any()):
            raise ValueError(
                f"designs: none of the {len(self.designs)} is within bounds and allowed"
            )

    def contains(self, design: Float[Tensor, "*batch K"]) -> Bool[Tensor, " *batch"]:
        """Whether each design may be taken.

        Raises:
            ValueError: another number of coordinates than the space has, or what `allowed` returns
                does not fit the designs.
        """
        self._check_width(design)
        inside = self._permitted(design)
        if self.designs is not None:
            same = design[..., None, :] == self.designs.to(design)
            inside = inside & same.all(-1).any(-1)
        return inside

    def check(self, design: Float[Tensor, "*batch K"], what: str) -> None:
        """Refuse designs that may not be taken.

        Args:
            design: any number of them.
            what: where they come from, in the message.

        Raises:
            ValueError: naming the first of them and what is expected; or as `contains`.
        """
        bad = ~self.contains(design)
        if bool(bad.any()):
            first = [round(each, 6) for each in design[bad][0].tolist()]
            raise ValueError(
                f"{what} {first} is outside the design space ({int(bad.sum())} of {bad.numel()}); "
                f"expected {self.description}"
            )

    @property
    def description(self) -> str:
        """What is allowed, in an error's words."""
        parts = []
        if self.designs is not None:
            parts.append(f"one of {len(self.designs)} designs")
        if self.bounds is not None:
            parts.append(f"within {self.bounds[0].tolist()} and {self.bounds[1].tolist()}")
        if self.allowed is not None:
            parts.append(f"allowed by {called(self.allowed)}")
        return ", ".join(parts) or "finite numbers"

    def facts(self) -> dict[str, Any]:
        """What the space is, as JSON holds it, to tell it from others.

        Functions are told by name and a checksum of their source, a large set by its own checksum.
        """
        functions = {name: getattr(self, name) for name in ("allowed", "cost", "travel")}
        facts: dict[str, Any] = {"designs": self.description}
        if self.designs is not None:
            few = len(self.designs) <= LISTED
            facts["set"] = self.designs.tolist() if few else fingerprint(self.designs)[:DIGITS]
        for name, each in functions.items():
            if each is not None:
                facts[name] = f"{called(each)} {of_function(each)[:DIGITS]}"
        return facts | ({} if self.start is None else {"start": self.start.tolist()})

    def nearest(self, design: Float[Tensor, "*batch K"]) -> Float[Tensor, "*batch K"]:
        """Each design if it may be taken, else an allowed one close by.

        Of a set that is the nearest one. Else the design is brought into the bounds, and if it is
        forbidden there, it goes straight towards the nearest of some random allowed designs until
        it is out of the region. The gradient is as if nothing had been moved (straight-through).

        Raises:
            ValueError: a region is forbidden in a space without bounds; or as `contains` and
                `draw`.
        """
        self._check_width(design)
        if self.designs is None and self.bounds is None and self.allowed is None:
            return design
        with torch.no_grad():
            moved = self._moved(design.detach())
        return _StraightThrough.apply(design, moved)  # type: ignore[no-any-return]

    def _moved(self, design: Tensor) -> Tensor:
        if self.designs is not None:
            return _closest(design, self.permitted.to(design))
        inside = design if self.bounds is None else design.clamp(*self.bounds.to(design))
        bad = ~self._permitted(inside)
        if not bool(bad.any()):
            return inside
        lost = inside[bad]
        goal = _closest(lost, self._anchors.to(design))
        out, near, far = goal, torch.zeros_like(lost[:, :1]), torch.ones_like(lost[:, :1])
        for _ in range(HALVINGS):
            share = (near + far) / 2
            point = lost + share * (goal - lost)
            fine = self._permitted(point)[:, None]
            out, far = torch.where(fine, point, out), torch.where(fine, share, far)
            near = torch.where(fine, near, share)
        return inside.masked_scatter(bad[..., None].expand_as(inside), out)

    @cached_property
    def permitted(self) -> Float[Tensor, "D K"]:
        """Those of the set that may be taken.

        Raises:
            ValueError: there is no set.
        """
        if self.designs is None:
            raise ValueError("the design space has no set of designs")
        return self.designs[self._permitted(self.designs)]

    @cached_property
    def _anchors(self) -> Tensor:
        if self.bounds is None:
            raise ValueError(
                f"allowed is {called(self.allowed)}, and the design space has no bounds; expected "
                "bounds, from which allowed designs can be drawn"
            )
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return self.draw(ANCHORS)

    def costs(
        self, design: Float[Tensor, "*batch K"], before: Float[Tensor, "*batch K"] | None = None
    ) -> Float[Tensor, " *batch"]:
        """What each look costs, with the way to it.

        Args:
            design: of the look.
            before: of the look before; `start` if not given.

        Raises:
            ValueError: a cost that is negative, not finite or of another shape.
        """
        total = torch.ones(design.shape[:-1], dtype=_real(design), device=design.device)
        if self.cost is not None:
            total = _costs("cost", self.cost, design)
        if before is None and self.start is not None:
            before = self.start.to(design).expand_as(design)
        if self.travel is not None and before is not None:
            total = total + _costs("travel", self.travel, before, design)
        return total

    def pay(
        self,
        design: Float[Tensor, "B *K"],
        past: Float[Tensor, "B t *K"],
        *,
        spent: Float[Tensor, " B"],
        going: Bool[Tensor, " B"],
        budget: float,
    ) -> tuple[Float[Tensor, " B"], Bool[Tensor, " B"]]:
        """The next look of each scene, out of what is left of its budget.

        Args:
            design: chosen next.
            past: all looks before.
            spent: on them.
            going: which scenes still go on.
            budget: of each.

        Returns:
            What is spent after it, and which scenes made it and go on.

        Raises:
            ValueError: a design that is not in the space; no scene can pay for its first look.
        """
        look = past.shape[1]
        flat = design.detach().reshape(len(design), -1)
        last = past.detach()[:, -1].reshape(len(past), -1) if look else None
        self.check(flat[going], f"look {look}: the policy's design")
        price = self.costs(flat, last)
        going = going & fits(spent + price, budget)
        if look == 0 and not bool(going.any()):
            raise ValueError(
                f"budget is {budget}, and the first look costs at least {float(price.min()):g}; "
                "expected enough for one look"
            )
        return spent + price * going, going

    def draw(self, number: int) -> Float[Tensor, "N K"]:
        """Uniform designs, of torch's global generator.

        Raises:
            ValueError: there is neither a set nor bounds, or next to nothing is allowed.
        """
        drawn = self._uniform(number)
        for _ in range(TRIES):
            bad = ~self._permitted(drawn)
            if not bool(bad.any()):
                return drawn
            drawn[bad] = self._uniform(int(bad.sum()))
        raise ValueError(
            f"allowed: {called(self.allowed)} refuses {int(bad.sum())} of {number} designs "
            f"{TRIES} times over; expected a space that can be drawn from"
        )

    def _uniform(self, number: int) -> Tensor:
        if self.designs is not None:
            return self.designs[torch.randint(len(self.designs), (number,))].clone()
        if self.bounds is None:
            raise ValueError("designs can be drawn at random from bounds or a set; got neither")
        low, high = self.bounds
        return low + (high - low) * torch.rand(number, len(low)).to(low)

    def _permitted(self, design: Tensor) -> Tensor:
        """Finite, within bounds and allowed."""
        inside = design.isfinite().all(-1)
        if self.bounds is not None:
            low, high = self.bounds.to(design)
            inside = inside & ((design >= low) & (design <= high)).all(-1)
        if self.allowed is not None:
            with calling(self.allowed):
                answer = self.allowed(design)
            _check_shape("allowed", self.allowed, answer, design)
            inside = inside & answer.bool()
        return inside

    def _check_width(self, design: Tensor) -> None:
        for name in ("bounds", "designs", "start"):
            value = getattr(self, name)
            if value is not None and (design.ndim < 1 or design.shape[-1] != value.shape[-1]):
                raise ValueError(
                    f"design must be [*batch, {value.shape[-1]}] as {name} of the design space, "
                    f"got {tuple(design.shape)}"
                )


def fits(total: Any, budget: float) -> Any:
    """Whether a sum of costs is within a budget, up to the rounding of single precision."""
    return total <= budget * (1 + ROUNDING)


def _closest(design: Float[Tensor, "*batch K"], rows: Float[Tensor, "D K"]) -> Tensor:
    """The row closest to each design."""
    flat = design.reshape(-1, design.shape[-1])
    return rows[torch.cdist(flat, rows).argmin(-1)].view(design.shape)


class _StraightThrough(torch.autograd.Function):
    """Another value, with the gradient of the first."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, other: Tensor) -> Tensor:
        return other.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return gradient, None


def _enclose(bounds: Tensor) -> bool:
    """Whether they are two rows, the lowest values and the highest."""
    return len(bounds) == 2 and bool((bounds[0] < bounds[1]).all())


def _costs(name: str, function: Callable[..., Tensor], *designs: Tensor) -> Tensor:
    """What a function of the user's says, checked."""
    with calling(function):
        value = function(*designs)
    _check_shape(name, function, value, designs[-1])
    if not bool(((value >= 0) & value.isfinite()).all()):
        raise ValueError(
            f"{name}: {called(function)} returned costs from {float(value.min())} to "
            f"{float(value.max())}, expected finite ones of at least 0"
        )
    return value.to(designs[-1].device, _real(designs[-1]))


def _real(design: Tensor) -> torch.dtype:
    """Of costs: the designs' own, unless these are whole numbers."""
    return design.dtype if design.is_floating_point() else torch.get_default_dtype()


def _check_shape(name: str, function: Callable[..., Tensor], value: object, design: Tensor) -> None:
    shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
    if shape != tuple(design.shape[:-1]):
        raise ValueError(
            f"{name}: {called(function)} returned {shape} for designs {tuple(design.shape)}, "
            f"expected {tuple(design.shape[:-1])}"
        )
