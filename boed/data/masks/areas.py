"""Masks of whole areas: bands, frames, centres and halves, and rectangles and patches anywhere."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boed.foundation.checks import at_least, at_most

PATCHES_BORDER = 1 / 32
"""Width of the border that `patches` never show, over that of the scene: 4 of 128 pixels."""


def top(
    batch: int, size: int, rows: int | None = None, *, generator: torch.Generator | None = None
) -> Float[Tensor, "B 1 H W"]:
    """Only the first rows seen: half of them if not said.

    Raises:
        ValueError: no rows, or all of the `size` rows.
    """
    rows = _part("rows", rows, size // 2, most=size - 1)
    return _area(batch, torch.arange(size) < rows, torch.ones(size, dtype=torch.bool))


def bottom(
    batch: int, size: int, rows: int | None = None, *, generator: torch.Generator | None = None
) -> Float[Tensor, "B 1 H W"]:
    """Only the last rows seen; see `top`."""
    return top(batch, size, rows).flip(2)


def left(
    batch: int, size: int, columns: int | None = None, *, generator: torch.Generator | None = None
) -> Float[Tensor, "B 1 H W"]:
    """Only the first columns seen: half of them if not said.

    Raises:
        ValueError: no columns, or all of the `size` columns.
    """
    columns = _part("columns", columns, size // 2, most=size - 1)
    return _area(batch, torch.ones(size, dtype=torch.bool), torch.arange(size) < columns)


def right(
    batch: int, size: int, columns: int | None = None, *, generator: torch.Generator | None = None
) -> Float[Tensor, "B 1 H W"]:
    """Only the last columns seen; see `left`."""
    return left(batch, size, columns).flip(3)


def edge(
    batch: int, size: int, width: int | None = None, *, generator: torch.Generator | None = None
) -> Float[Tensor, "B 1 H W"]:
    """Only a frame seen, its width a quarter of the scene's if not said.

    Raises:
        ValueError: no width, or one that leaves nothing hidden.
    """
    width = _part("width", width, size // 4, most=(size - 1) // 2)
    return 1 - _centre(batch, size, size - 2 * width)


def centre_seen(
    batch: int, size: int, side: int | None = None, *, generator: torch.Generator | None = None
) -> Float[Tensor, "B 1 H W"]:
    """Only a square in the centre seen, its side half the scene's if not said.

    Raises:
        ValueError: no side, or that of the scene.
    """
    return _centre(batch, size, _part("side", side, size // 2, most=size - 1))


def centre_hole(
    batch: int, size: int, fraction: float = 0.25, *, generator: torch.Generator | None = None
) -> Float[Tensor, "B 1 H W"]:
    """Everything seen but a square in the centre.

    Args:
        fraction: its side over the scene's width; 8 of 32 pixels in the CIFAR-10 report, 32 of 64
            in Yeh et al. 2017.

    Raises:
        ValueError: a square that is no pixel, or larger than the scene.
    """
    side = round(fraction * size)
    if not 1 <= side <= size:
        raise ValueError(f"fraction {fraction} of {size} pixels is {side}; expected 1..{size}")
    return 1 - _centre(batch, size, side)


def half(
    batch: int, size: int, *, generator: torch.Generator | None = None
) -> Float[Tensor, "B 1 H W"]:
    """One half hidden: left, right, top or bottom, with equal probability (Yeh et al. 2017)."""
    halves = torch.cat([draw(1, size) for draw in (left, right, top, bottom)])
    return halves[torch.randint(len(halves), (batch,), generator=generator)]


def rectangle(
    batch: int,
    size: int,
    *,
    height: int | None = None,
    width: int | None = None,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "B 1 H W"]:
    """Only a rectangle seen, of U{1..height} x U{1..width} pixels, anywhere inside the scene.

    Args:
        height, width: at most; half of the scene's if not said.

    Raises:
        ValueError: no pixel, or more than the scene has.
    """
    within = []
    for name, given in (("height", height), ("width", width)):
        most = _part(name, given, size // 2, most=size)
        length = torch.randint(1, most + 1, (batch, 1), generator=generator)
        places = size - length + 1
        start = (torch.rand(batch, 1, generator=generator, dtype=torch.double) * places).long()
        pixel = torch.arange(size)
        within.append((pixel >= start) & (pixel < start + length))
    return (within[0][:, :, None] & within[1][:, None]).float()[:, None]


def patches(
    batch: int,
    size: int,
    *,
    number: int = 1,
    side: int | None = None,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "B 1 H W"]:
    """Only some squares seen, all whole and off the border, which is never seen.

    Of Pajot et al. 2019, whose Patch(1, 32) and Patch(90, 10) of 128 pixels are 1 of 8 and 62 of 3
    pixels in scenes of 32 by the fraction that is seen. The border has `PATCHES_BORDER` of the
    width.

    Args:
        number: of squares, which may overlap; no more than the scene has pixels.
        side: of each in pixels; a quarter of the scene's if not said.

    Raises:
        ValueError: no squares or too many, or larger ones than there is room for.
    """
    border = round(PATCHES_BORDER * size)
    at_least(1, number=number)
    at_most(size**2, number=number)
    side = _part("side", side, size // 4, most=size - 2 * border)
    shape = (batch, number, 2, 1)
    corner = torch.randint(border, size - border - side + 1, shape, generator=generator)
    pixel = torch.arange(size)
    inside = ((pixel >= corner) & (pixel < corner + side)).float()  # [B, number, 2, size]
    rows, columns = inside.unbind(2)
    return (torch.einsum("bnh,bnw->bhw", rows, columns) > 0).float()[:, None]


def _part(name: str, given: int | None, usual: int, *, most: int) -> int:
    """A number of pixels of the scene, checked."""
    pixels = max(usual, 1) if given is None else given
    at_least(1, **{name: pixels})
    at_most(most, **{name: pixels})
    return pixels


def _centre(batch: int, size: int, side: int) -> Float[Tensor, "B 1 H W"]:
    start = (size - side) // 2
    pixel = torch.arange(size)
    inside = (pixel >= start) & (pixel < start + side)
    return _area(batch, inside, inside)


def _area(
    batch: int, rows: Bool[Tensor, " H"], columns: Bool[Tensor, " W"]
) -> Float[Tensor, "B 1 H W"]:
    """The same for all masks: seen where both the row and the column are."""
    return (rows[:, None] & columns).float().repeat(batch, 1, 1, 1)
