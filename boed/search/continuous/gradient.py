"""Gradient ascent over continuous designs, from several starts at once."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.quasirandom import SobolEngine

from boed.foundation.arguments import checked
from boed.foundation.checks import at_least, more_than
from boed.foundation.randomness import derive
from boed.search.continuous.optimum import Objective, Optimum, check_bounds, evaluate


@checked
def gradient_ascent(
    objective: Objective,
    bounds: Float[Tensor, "2 *K"],
    starts: int | Float[Tensor, "S *K"] = 8,
    *,
    steps: int = 200,
    rate: float = 0.05,
    seed: int = 0,
) -> Optimum:
    """Projected Adam on every start, with a learning rate that falls to zero.

    Args:
        objective: differentiable, such as `PCEObjective`; it may be stochastic.
        bounds: lowest and highest design; designs are put back into them after each step.
        starts: how many, spread by a Sobol sequence, or the designs to start from.
        steps: of Adam (Kingma and Ba 2015).
        rate: first learning rate, as a fraction of the bounds' width.
        seed: of the starts.

    Returns:
        The best of the last designs, by one more evaluation.

    Raises:
        ValueError: bounds that are none, starts outside them, counts or a rate not above 0, or an
            objective that is not one finite number per design with a finite gradient, or whose
            gradient is 0 at all starts, as where designs are rounded.
    """
    check_bounds(bounds)
    more_than(0, steps=steps, rate=rate)
    low, width = bounds[0], bounds[1] - bounds[0]
    inside = ((_starts(starts, bounds, seed) - low) / width).detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([inside], lr=rate, maximize=True)
    cooling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    history = []
    for step in range(steps):
        designs = low + inside * width
        with torch.enable_grad():
            value = evaluate(objective, low + inside * width)
        inside.grad = _gradient(value, inside, designs)
        if step == 0 and not inside.grad.any():
            raise ValueError(
                f"objective has gradient 0 at all {len(designs)} starts; a model that rounds its "
                "designs has no other: list the designs and take model_eig, or start elsewhere"
            )
        optimiser.step()
        cooling.step()
        inside.data.clamp_(0, 1)
        history.append(value.detach())
    with torch.no_grad():
        last = low + inside * width
        values = evaluate(objective, last)
    best = int(values.argmax())
    return Optimum(
        design=last[best],
        value=float(values[best]),
        designs=last,
        values=values,
        history=torch.stack(history),
    )


def _gradient(value: Tensor, inside: Tensor, designs: Tensor) -> Tensor:
    """Of every start's value; each depends on its own design alone."""
    if not value.requires_grad:
        raise ValueError("objective: its value does not depend on the designs differentiably")
    (gradient,) = torch.autograd.grad(value.sum(), inside, allow_unused=True)
    if gradient is None:
        raise ValueError("objective: its value does not depend on the designs differentiably")
    bad = ~gradient.isfinite().flatten(1).all(1)
    if bad.any():
        raise ValueError(f"objective has no finite gradient at {designs[bad][0].tolist()}")
    return gradient


def _starts(starts: int | Tensor, bounds: Tensor, seed: int) -> Float[Tensor, "S *K"]:
    low, high = bounds
    if isinstance(starts, Tensor):
        if starts.ndim != bounds.ndim or starts.shape[1:] != low.shape or len(starts) == 0:
            raise ValueError(
                f"starts must be [S, {', '.join(map(str, low.shape))}] to go with bounds, "
                f"got {tuple(starts.shape)}"
            )
        if not ((starts >= low) & (starts <= high)).all():
            raise ValueError("starts: some lie outside the bounds, or are NaN")
        return starts.to(bounds)
    at_least(1, starts=starts)
    return low + (high - low) * sobol(starts, low.shape, seed).to(bounds)


def sobol(number: int, shape: torch.Size, seed: int) -> Float[Tensor, "S *K"]:
    """Points spread over the unit cube."""
    engine = SobolEngine(shape.numel(), scramble=True, seed=derive(seed, "sobol") % 2**31)
    return engine.draw(number).unflatten(1, shape)
