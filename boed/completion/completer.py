"""What may be there: the protocol of stochastic image completers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from boed.data.observation import Observation
from boed.foundation.checks import (
    at_least,
    attribute,
    called,
    calling,
    check_floating,
    check_protocol,
    describe,
)
from boed.foundation.memory import check_memory
from boed.foundation.randomness import Seeds, per_scene


@runtime_checkable
class Completer(Protocol):
    """A sampler of p(scene | observation).

    `seed` is one number for the batch or one per scene, a list, which is what policies give; the
    samples of a scene depend on its own seed and observation alone. Samples lie in [0, 1], unless
    the completer says with an attribute `unbounded = True` that its model knows no bounds. A
    completer may also have
    `log_prob(scene, observation) -> [B]`, and says what it is
    (`boed.completion.log_probability.LikelihoodCompleter`), and
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
        for name in ("scenes", "weights"):
            check_floating(f"Completions: {name}", getattr(self, name), "numbers")
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
        if (self.weights < 0).any():
            raise ValueError(f"weights go down to {self.weights.min():.3g}, expected 0 or more")
        if self.labels is not None and self.labels.shape[:2] != self.weights.shape:
            raise ValueError(
                f"labels must be {tuple(self.weights.shape)} or with findings behind, "
                f"got {tuple(self.labels.shape)}"
            )
        if self.labels is not None and self.labels.dtype != torch.int64:
            raise ValueError(f"labels are {self.labels.dtype}, expected int64")

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


def check_is_completer(completer: object) -> None:
    """Refuse what is no completer.

    Raises:
        ValueError: it has no `sample` that can be called as the protocol's.
    """
    check_protocol("completer", completer, Completer)


def complete(
    completer: Completer, observation: Observation, n: int, *, seed: Seeds = 0
) -> Completions:
    """Completions with weights: the completer's own, or equal ones.

    The completer is given one seed per scene, a list. Numbers of another precision, or on another
    device, are converted to the observation's; gradients end here.

    Raises:
        ValueError: fewer than one completion asked for, more than the memory limit has
            room for, or the completer is none, or returned something else: another shape, whole
            numbers, NaN, pixels outside [0, 1], or others than those that were seen.
    """
    at_least(1, n=n)
    check_is_completer(completer)
    pixels = observation.values
    check_memory(f"completions {n}: of {len(pixels)} scenes", 4 * n * pixels.numel())
    seeds = per_scene(seed, len(observation))
    own = attribute(completer, "complete", None)
    if own is None:
        name = called(completer, "sample")
        with calling(completer, "sample"):
            drawn = completer.sample(observation, n, seeds)
        scenes = _checked(drawn, completer, observation, n, name)
        return Completions(scenes, torch.full(scenes.shape[:2], 1 / n, device=scenes.device))
    name = called(completer, "complete")
    with calling(completer, "complete"):
        completions = own(observation, n, seeds)
    if not isinstance(completions, Completions):
        raise ValueError(f"{name} returned {describe(completions)}, expected Completions")
    return replace(
        completions, scenes=_checked(completions.scenes, completer, observation, n, name)
    )


ROUNDING = 1e-3
"""How far a pixel of a completion may be from where it has to be."""


def _checked(
    scenes: object, completer: Completer, observation: Observation, n: int, name: str
) -> Float[Tensor, "n B C H W"]:
    """What a completer returned, after making sure that it completes the observation."""
    expected = (n, *observation.values.shape)
    scenes = check_floating(name, scenes, f"scenes {expected} in [0, 1]")
    if tuple(scenes.shape) != expected:
        raise ValueError(f"{name} returned {tuple(scenes.shape)}, expected {expected}")
    if not torch.isfinite(scenes).all():
        raise ValueError(f"{name} returned NaN or infinite pixels")
    scenes = scenes.detach().to(observation.values)
    measures_pixels = observation.readings is None
    seen = (observation.mask > 0) & measures_pixels
    if not attribute(completer, "unbounded", False):
        low, high = (float(end) for end in scenes.masked_fill(seen, 0.5).aminmax())
        if low < -ROUNDING or high > 1 + ROUNDING:
            raise ValueError(
                f"{name} returned pixels from {low:.3g} to {high:.3g}, expected values in [0, 1]; "
                "a completer whose model knows no bounds says so by unbounded = True"
            )
    off = float(((scenes - observation.values).abs() * seen).max())
    if off > ROUNDING:
        raise ValueError(
            f"{name} returned scenes that differ by up to {off:.3g} from the pixels that were "
            "seen; put these in with observation.composite(scenes)"
        )
    return scenes
