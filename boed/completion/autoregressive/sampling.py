"""Three ways to draw the hidden pixels of scenes one after another, with the same numbers.

All draw by the inverse of the distribution function from uniform numbers that are given, one for
each channel of each pixel, so they give the same levels. Their logits are the same sums in another
order, in single precision: a uniform number that lies within that rounding (about 1e-6) of a step
of the distribution function may give the neighbouring level, and other pixels after it. That is of
the order of one scene in a thousand for two levels at 32 pixels, and changes no distribution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from boed.completion.levels import from_level

Logits = Callable[[Tensor], Tensor]
"""Images `[N, C, H, W]` of levels as pixels in [0, 1] to logits `[N, L, C, H, W]` of all pixels,
each given those before it in raster order, and the channels before it of its own pixel."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Unfilled:
    """Scenes whose hidden pixels are to be drawn.

    Attributes:
        image: levels of the seen pixels as pixels in [0, 1], `[N, C, H, W]`.
        hidden: where to draw, `[N, 1, H, W]`.
        uniform: numbers in [0, 1) to draw with, `[N, C, H, W]`.
        levels: how many, L.
        temperature: what logits are divided by; 0 takes the likeliest level.
    """

    image: Float[Tensor, "N C H W"]
    hidden: Bool[Tensor, "N 1 H W"]
    uniform: Float[Tensor, "N C H W"]
    levels: int
    temperature: float = 1.0

    @property
    def anywhere(self) -> list[list[bool]]:
        """By row and column, whether any scene's pixel is hidden there."""
        where: list[list[bool]] = self.hidden.any(0)[0].tolist()
        return where

    @property
    def pixels(self) -> Float[Tensor, " L"]:
        """The pixel of each level."""
        return from_level(torch.arange(self.levels, device=self.image.device), self.levels)


class Steps(Protocol):
    """A network that is asked for one pixel after another, in raster order.

    Attributes:
        image: `[N, C, H, W]`, into which the caller writes each pixel before the next step.
        reach: how many rows above, and pixels on the left, have to be begun, or passed, before
            a pixel that is drawn; what lies before them may be left out.
    """

    image: Float[Tensor, "N C H W"]
    reach: int

    def begin(self, row: int) -> None:
        """Begin a row."""
        ...

    def step(self, column: int, channel: int) -> Float[Tensor, "N L"]:
        """The logits of a channel of a pixel of the row, given all that comes before."""
        ...

    def skip(self, column: int) -> None:
        """Pass a pixel whose logits nobody asks for."""
        ...


def drawn(
    logits: Float[Tensor, "N L *S"], uniform: Float[Tensor, "N *S"], temperature: float = 1.0
) -> Int64[Tensor, "N *S"]:
    """Levels by the inverse of their distribution function, computed in double precision.

    Of temperature 0 the likeliest ones, whatever the numbers.
    """
    if temperature == 0:
        return logits.argmax(1)
    steps = (logits.double() / temperature).softmax(1).cumsum(1)[:, :-1]
    return (steps <= uniform[:, None]).sum(1)


def naive(logits: Logits, unfilled: Unfilled) -> Float[Tensor, "N C H W"]:
    """All logits again for each channel of each pixel: the definition, and slow."""
    image, pixels = unfilled.image.clone(), unfilled.pixels
    for row, columns in enumerate(unfilled.anywhere):
        for column, wanted in enumerate(columns):
            for channel in range(image.shape[1] if wanted else 0):
                here = (slice(None), channel, row, column)
                asked = logits(image)[:, :, channel, row, column]
                level = drawn(asked, unfilled.uniform[here], unfilled.temperature)
                hidden = unfilled.hidden[:, 0, row, column]
                image[here] = torch.where(hidden, pixels[level], image[here])
    return image


def fixed_point(logits: Logits, unfilled: Unfilled) -> Float[Tensor, "N C H W"]:
    """All pixels at once from the last guess at all, until none changes (Wiggers & Hoogeboom 2020).

    Each round makes at least one more of them right, in raster order.
    """
    image = unfilled.image
    for _ in range(image[0].numel() + 1):
        level = drawn(logits(image), unfilled.uniform, unfilled.temperature)
        again = torch.where(unfilled.hidden, unfilled.pixels[level], image)
        if torch.equal(again, image):
            break
        image = again
    return image


def incremental(steps: Steps, unfilled: Unfilled) -> Float[Tensor, "N C H W"]:
    """What each new pixel changes, and no more; pixels seen in all scenes are passed."""
    pixels, temperature = unfilled.pixels, unfilled.temperature
    image = steps.image.permute(2, 3, 1, 0)  # [H, W, C, N], of one memory
    uniform = unfilled.uniform.permute(2, 3, 1, 0).double().contiguous()
    hidden = unfilled.hidden[:, 0].permute(1, 2, 0).contiguous()
    anywhere = unfilled.anywhere
    rows = [row for row, columns in enumerate(anywhere) if any(columns)]
    for row in range(max(rows[0] - steps.reach, 0), rows[-1] + 1) if rows else ():
        steps.begin(row)
        wanted = [column for column, each in enumerate(anywhere[row]) if each]
        for column in range(max(wanted[0] - steps.reach, 0), wanted[-1] + 1) if wanted else ():
            if not anywhere[row][column]:
                steps.skip(column)
                continue
            for channel, (pixel, number) in enumerate(
                zip(image[row, column], uniform[row, column], strict=True)
            ):
                level = drawn(steps.step(column, channel), number, temperature)
                pixel.copy_(torch.where(hidden[row, column], pixels[level], pixel))
    return steps.image
