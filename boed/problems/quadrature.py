"""EIG of one observation by quadrature over the unknown: EIG = H[p(y)] - E_theta H[p(y | theta)].

Everything is float64. `nodes` of the unknown come with weights that sum to 1.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.special import entr

Nodes = tuple[Float[Tensor, " N"], Float[Tensor, " N"]]
"""Values and their weights."""


def legendre_nodes(n: int, low: float, high: float) -> Nodes:
    """Gauss-Legendre nodes on [low, high]; the weights sum to its length."""
    x, weights = (torch.from_numpy(each) for each in np.polynomial.legendre.leggauss(n))
    half = (high - low) / 2
    return low + half * (x + 1), half * weights


def crowded_nodes(n: int, low: float, high: float, *, at: float) -> Nodes:
    """As `legendre_nodes`, with n on either side of `at`, crowded towards it as the cube.

    For integrands with a peak or a step there.
    """
    t, weights = legendre_nodes(n, 0, 1)
    at = min(max(at, low), high)
    x = torch.cat([at - (at - low) * t**3, at + (high - at) * t**3])
    return x, torch.cat([side * 3 * t**2 * weights for side in (at - low, high - at)])


def normal_weights(nodes: Nodes, mean: float, sd: float) -> Nodes:
    """The nodes with weights for N(mean, sd) between the ends of their interval."""
    x, weights = nodes
    weights = weights * torch.exp(-0.5 * ((x - mean) / sd) ** 2)
    return x, weights / weights.sum()


def discrete_eig(
    probabilities: Float[Tensor, "Y N"], weights: Float[Tensor, " N"]
) -> Float[Tensor, ""]:
    """EIG of an observation with finitely many values.

    Args:
        probabilities: p(y | theta_n) of every value y, which sum to 1 over y.
        weights: of the nodes theta_n.
    """
    marginal = probabilities @ weights
    return entr(marginal).sum() - entr(probabilities).sum(0) @ weights


def gaussian_eig(
    signal: Float[Tensor, " N"], weights: Float[Tensor, " N"], noise: float
) -> Float[Tensor, ""]:
    """EIG of y ~ N(signal(theta), noise): H[p(y)] on a fine grid, less ln(noise sqrt(2 pi e)).

    The trapezoid rule converges faster than any power here: p(y) is smooth at the scale of the
    noise and vanishes at both ends.

    Args:
        signal: the noise-free observation at every node.
        weights: of the nodes.
        noise: standard deviation.
    """
    step = noise / 8
    steps = math.ceil((signal.max() - signal.min()).item() / step + 20 * noise / step)
    y = signal.min() - 10 * noise + step * torch.arange(steps + 1, dtype=torch.float64)
    density = torch.zeros_like(y)
    for s, w in zip(signal.split(4096), weights.split(4096), strict=True):
        density += torch.exp(-0.5 * ((y[:, None] - s) / noise) ** 2) @ w
    density /= noise * math.sqrt(2 * math.pi)
    return step * entr(density).sum() - math.log(noise) - 0.5 * math.log(2 * math.pi * math.e)
