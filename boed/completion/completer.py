"""What may be there: the protocol of stochastic image completers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.data.observation import Observation
from boed.foundation.checks import at_least
from boed.foundation.memory import check_memory
from boed.foundation.randomness import Seeds


@runtime_checkable
class Completer(Protocol):
    """A sampler of p(scene | observation).

    `seed` is one number for the batch or one per scene; the samples of a scene depend on its
    own seed and observation alone. A completer may also have
    `log_prob(scene, observation) -> [B]` (or a lower bound on it, said so), and
    `complete(observation, n, seed) -> Completions` when its samples carry weights or labels.
    """

    def sample(
        self, observation: Observation, n: int, seed: Seeds = 0
    ) -> Float[Tensor, "n B C H W"]:
        """`n` completions of each observation, the seen pixels composited in."""
        ...


@dataclass(frozen=True, eq=False)
class Completions:
    """Completions of a batch of observations.

    Attributes:
        scenes: `[n, B, C, H, W]`.
        weights: how much each counts, `[n, B]`, summing to 1 over n.
        labels: the true answers that come with retrieved images, `[n, B]` or `[n, B, L]`.

    Raises:
        ValueError: shapes that do not belong together, or weights that do not sum to 1.
    """

    scenes: Float[Tensor, "n B C H W"]
    weights: Float[Tensor, "n B"]
    labels: Int64[Tensor, "n B *L"] | None = None

    def __post_init__(self) -> None:
        if self.scenes.ndim != 5:
            raise ValueError(
                f"scenes must be [n, B, C, H, W], got {tuple(self.scenes.shape)}; "
                "does the completer's sample return that?"
            )
        if self.weights.shape != self.scenes.shape[:2]:
            raise ValueError(
                f"weights must be {tuple(self.scenes.shape[:2])}, got {tuple(self.weights.shape)}"
            )
        total = self.weights.sum(0)
        if not torch.allclose(total, torch.ones_like(total), atol=1e-3):
            raise ValueError("weights must sum to 1 over the n completions of each scene")
        if self.labels is not None and self.labels.shape[:2] != self.weights.shape:
            raise ValueError(
                f"labels must be {tuple(self.weights.shape)} or with findings behind, "
                f"got {tuple(self.labels.shape)}"
            )

    @property
    def effective_sample_size(self) -> Float[Tensor, " B"]:
        """1 / sum of squared weights: how many equal samples these are worth."""
        return 1 / (self.weights**2).sum(0)

    @property
    def mean(self) -> Float[Tensor, "B C H W"]:
        """Posterior mean image."""
        return torch.einsum("nb,nbchw->bchw", self.weights, self.scenes)

    @property
    def variance(self) -> Float[Tensor, "B C H W"]:
        """Posterior variance of each pixel."""
        return torch.einsum("nb,nbchw->bchw", self.weights, (self.scenes - self.mean) ** 2)


def complete(
    completer: Completer, observation: Observation, n: int, *, seed: Seeds = 0
) -> Completions:
    """Completions with weights: the completer's own, or equal ones.

    Raises:
        ValueError: fewer than one completion asked for, or more than the memory limit has room
            for, or the completer returned another shape or NaN pixels.
    """
    at_least(1, n=n)
    pixels = observation.values
    check_memory(f"completions {n}: of {len(pixels)} scenes", 4 * n * pixels.numel())
    own = getattr(completer, "complete", None)
    completions: Completions | None = None if own is None else own(observation, n, seed)
    scenes = completer.sample(observation, n, seed) if completions is None else completions.scenes
    name = f"{type(completer).__name__}.{'sample' if completions is None else 'complete'}"
    expected = (n, *observation.values.shape)
    if tuple(scenes.shape) != expected:
        raise ValueError(f"{name} returned {tuple(scenes.shape)}, expected {expected}")
    if not torch.isfinite(scenes).all():
        raise ValueError(f"{name} returned NaN or infinite pixels")
    if completions is not None:
        return completions
    return Completions(scenes, torch.full(scenes.shape[:2], 1 / n, device=scenes.device))
