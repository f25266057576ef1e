"""What the configurations of all completers share that draw one pixel after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from boed.completion.levels import LEVELS
from boed.foundation.checks import at_least, attributes, more_than
from boed.training.config import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class AutoregressiveConfig:
    """Images, and how they are drawn.

    Attributes:
        size: width of the images in pixels.
        channels: image channels; their order is that in which they are drawn.
        levels: of a channel of a pixel, 2 to 256.
        temperature: what logits are divided by in drawing, where 0 takes the likeliest level;
            log-probabilities are those of 1.
        mean, std: statistics of the training set that standardise what is seen.

    Raises:
        ValueError: a number out of range.
    """

    size: int
    channels: int
    levels: int = 2
    temperature: float = 1.0
    mean: float = 0.5
    std: float = 0.25

    def __post_init__(self) -> None:
        at_least(1, **attributes(self, "size", "channels"))
        LEVELS.check("levels", self.levels)
        at_least(0, temperature=self.temperature)
        more_than(0, std=self.std)

    @classmethod
    def small(
        cls, size: int, channels: int, *, levels: int | None = None
    ) -> tuple[Self, TrainingConfig]:
        """A small configuration, and how to train it.

        Raises:
            ValueError: as `images` says.
        """
        return cls(**cls.small_fields(size, channels, levels)), training(size)

    @classmethod
    def small_fields(cls, size: int, channels: int, levels: int | None) -> dict[str, Any]:
        """What the small configuration has for an image size."""
        return images(size, channels, levels)

    def check_shared(self, *names: str) -> None:
        """Refuse features that the channels cannot share equally."""
        for name in names:
            features = getattr(self, name)
            if features % self.channels:
                raise ValueError(
                    f"{name} is {features}, expected a multiple of the {self.channels} channels"
                )

    def check_widths(self, *names: str) -> None:
        """Refuse widths of kernels that have no pixel in the middle, or no neighbour."""
        for name in names:
            width = getattr(self, name)
            if width < 3 or width % 2 == 0:
                raise ValueError(f"{name} is {width}, expected an odd number of at least 3 pixels")


def images(size: int, channels: int, levels: int | None) -> dict[str, Any]:
    """Of the small presets: 16 levels for grey images up to 32 px, else 32, if not given.

    Raises:
        ValueError: a size that is neither 28 or 32 nor a multiple of 64.
    """
    if size not in (28, 32) and (size % 64 or size < 64):
        raise ValueError(f"size {size} has no preset; expected 28, 32 or a multiple of 64")
    return {
        "size": size,
        "channels": channels,
        "levels": levels or (32 if channels > 1 or size > 32 else 16),
    }


def training(size: int) -> TrainingConfig:
    """How the small networks are trained."""
    batch = 32 if size <= 32 else 24
    return TrainingConfig(
        steps=6000, batch=batch, lr=1e-3, betas=(0.9, 0.99), clip=1.0, precision="fp32"
    )
