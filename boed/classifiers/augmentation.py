"""Changes of training scenes that leave their labels as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from boed.foundation.registry import Registry
from boed.foundation.torchvision_compat import torchvision

TOGETHER = 4
"""Scenes that share their random changes: torchvision draws them once a call."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random geometry and intensities, by torchvision; each amount is the largest either way.

    Attributes:
        degrees: of rotation.
        shift: over the width of the scene.
        scale: larger or smaller.
        shear: degrees.
        brightness, contrast: as torchvision's `ColorJitter`.
        gamma: logarithm of the exponent.
        blur: standard deviation over the width of the scene; a third of the scenes are blurred.
        noise: standard deviation.
    """

    degrees: float = 0.0
    shift: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    gamma: float = 0.0
    blur: float = 0.0
    noise: float = 0.0

    def __call__(self, scenes: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """The scenes, each four of them changed alike, in [0, 1]; on the CPU.

        The random numbers come from torch's global generator.
        """
        change = self._change(scenes.shape[-1])
        return torch.cat([change(part) for part in scenes.split(TOGETHER)]).clamp(0, 1)

    def _change(self, width: int) -> Any:
        torchvision()
        from torchvision.transforms import v2

        margin = round(width * 0.3)  # what comes in from outside goes on as the edge does
        parts: list[Any] = []
        if self.degrees or self.shift or self.scale or self.shear:
            parts += [
                v2.Pad(margin, padding_mode="edge"),
                v2.RandomAffine(
                    self.degrees,
                    translate=(self.shift * width / (width + 2 * margin),) * 2,
                    scale=(1 - self.scale, 1 + self.scale),
                    shear=self.shear or None,
                    interpolation=v2.InterpolationMode.BILINEAR,
                ),
                v2.CenterCrop(width),
            ]
        if self.brightness or self.contrast:
            parts.append(v2.ColorJitter(brightness=self.brightness, contrast=self.contrast))
        if self.gamma:
            parts.append(v2.Lambda(self._gamma))
        if self.blur:
            sigma = self.blur * width
            blur = v2.GaussianBlur(2 * round(3 * sigma) + 1, (0.1, max(sigma, 0.2)))
            parts.append(v2.RandomApply([blur], 1 / 3))
        if self.noise:
            parts.append(v2.Lambda(self._noise))
        return v2.Compose(parts or [v2.Identity()])

    def _gamma(self, scenes: Tensor) -> Tensor:
        drawn = (torch.rand(len(scenes), 1, 1, 1) * 2 - 1) * self.gamma
        return scenes.clamp(0, 1) ** drawn.exp()

    def _noise(self, scenes: Tensor) -> Tensor:
        amount = torch.rand(len(scenes), 1, 1, 1) * self.noise
        return scenes + amount * torch.randn_like(scenes)


AUGMENTATIONS: Registry[Augmentation] = Registry(
    "augmentation",
    {
        "none": Augmentation(),
        "light": Augmentation(degrees=5, shift=0.06, scale=0.06, brightness=0.05, contrast=0.1),
        "strong": Augmentation(
            degrees=15,
            shift=0.1,
            scale=0.2,
            shear=5,
            brightness=0.3,
            contrast=0.5,
            gamma=0.6,
            blur=0.02,
            noise=0.08,
        ),
    },
)
"""By name: `light` for scenes such as those of the split, `strong` for those from elsewhere."""


def usual_augmentation(scenes: int) -> str:
    """The augmentation for so many training scenes: many are varied enough themselves."""
    return "light" if scenes <= 20_000 else "none"
