"""Pixel likelihoods: what a decoder's output says about an image with values in [0, 1].

All log-probabilities are in nats, summed over the pixels of an image.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from boed.foundation.registry import check_known


class Likelihood(Protocol):
    """A distribution over images of so many grey levels given `parameters [B, P, H, W]`."""

    n_parameters: int
    n_uniform: int
    levels: int

    def log_prob(
        self, parameters: Float[Tensor, "B P H W"], image: Float[Tensor, "B C H W"]
    ) -> Float[Tensor, "B H W"]:
        """Log-probability of each pixel (all its channels), in nats."""
        ...

    def sample(
        self, parameters: Float[Tensor, "B P H W"], uniform: Float[Tensor, "B U H W"]
    ) -> Float[Tensor, "B C H W"]:
        """An image made from uniform draws in [0, 1); U is `n_uniform`."""
        ...


class DiscretisedLogistics:
    """Mixture of discretised logistics over 256 grey levels (Salimans et al. 2017).

    One mixture weight per component and pixel, a mean and log scale per component and channel;
    with three channels green depends on red, and blue on both, linearly. Log scales are at
    least -7. Grey needs three parameters per component.
    """

    floor = -7.0
    levels = 256

    def __init__(self, channels: int, components: int = 10) -> None:
        self.channels = channels
        self.components = components
        self.couplings = 3 if channels == 3 else 0
        self.n_parameters = components * (1 + 2 * channels + self.couplings)
        self.n_uniform = components + channels

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        batch, _, height, width = parameters.shape
        grouped = parameters.float().view(batch, self.components, -1, height, width)
        c = self.channels
        logits, means, scales, couplings = grouped.split([1, c, c, self.couplings], dim=2)
        return logits[:, :, 0], means, scales.clamp(min=self.floor), couplings.tanh()

    def _couple(self, means: list[Tensor], couplings: Tensor, seen: list[Tensor]) -> Tensor:
        """Mean of the next channel, given the values of those before it."""
        channel = len(seen)
        mean = means[channel]
        if self.couplings and channel == 1:
            mean = mean + couplings[:, :, 0] * seen[0]
        if self.couplings and channel == 2:
            mean = mean + couplings[:, :, 1] * seen[0] + couplings[:, :, 2] * seen[1]
        return mean

    def log_prob(self, parameters: Tensor, image: Tensor) -> Tensor:
        logits, means, scales, couplings = self._split(parameters)
        x = 2 * image.float() - 1  # [B, C, H, W] in [-1, 1]
        total = F.log_softmax(logits, dim=1)  # [B, M, H, W]
        seen: list[Tensor] = []
        for channel in range(self.channels):
            mean = self._couple(list(means.unbind(2)), couplings, seen)
            value = x[:, channel, None]
            total = total + _logistic_bin(value, mean, scales[:, :, channel])
            seen.append(value)
        return torch.logsumexp(total, dim=1)

    def sample(self, parameters: Tensor, uniform: Tensor) -> Tensor:
        logits, means, scales, couplings = self._split(parameters)
        uniform = uniform.clamp(1e-5, 1 - 1e-5)
        gumbel = -torch.log(-torch.log(uniform[:, : self.components]))
        chosen = (logits + gumbel).argmax(1, keepdim=True)  # [B, 1, H, W]

        def pick(values: Tensor) -> Tensor:
            return values.gather(1, chosen)

        levels: list[Tensor] = []
        seen: list[Tensor] = []
        for channel in range(self.channels):
            mean = pick(self._couple(list(means.unbind(2)), couplings, seen))
            u = uniform[:, self.components + channel, None]
            x = mean + pick(scales[:, :, channel]).exp() * (u.log() - torch.log1p(-u))
            level = ((x.clamp(-1, 1) + 1) / 2 * 255).round()
            levels.append(level / 255)
            seen.append(2 * levels[-1] - 1)  # the next channel depends on the level, as in log_prob
        return torch.cat(levels, dim=1)


def _logistic_bin(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log-probability of the 1/255-wide bin around x under a logistic, open at both ends.

    With u, l the standardised bin edges,
    sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - exp(l - u)),
    whose logarithm is exact however far out in the tails the bin lies.
    """
    inverse = torch.exp(-log_scale)
    centred = inverse * (x - mean)
    half = inverse / 255
    lowest, highest = (x < -0.999).float(), (x > 0.999).float()
    below_upper = F.logsigmoid(centred + half) * (1 - highest)
    above_lower = F.logsigmoid(half - centred) * (1 - lowest)
    gap = torch.log(-torch.expm1(-2 * half)) * (1 - lowest - highest)
    return below_upper + above_lower + gap


class Bernoulli:
    """Independent binary pixels; an image value in [0, 1] counts as a probability."""

    levels = 2

    def __init__(self, channels: int) -> None:
        self.n_parameters = channels
        self.n_uniform = channels

    def log_prob(self, parameters: Tensor, image: Tensor) -> Tensor:
        logits = parameters.float()
        cross_entropy = F.binary_cross_entropy_with_logits(logits, image.float(), reduction="none")
        return -cross_entropy.sum(1)

    def sample(self, parameters: Tensor, uniform: Tensor) -> Tensor:
        return (uniform < parameters.float().sigmoid()).float()


def likelihood(name: str, channels: int, components: int = 10) -> Likelihood:
    """The likelihood called `logistics` or `bernoulli`.

    Raises:
        ValueError: another name.
    """
    check_known("likelihood", name, ("logistics", "bernoulli"))
    if name == "logistics":
        return DiscretisedLogistics(channels, components)
    return Bernoulli(channels)
