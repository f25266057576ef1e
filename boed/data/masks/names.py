"""Masks by name, as `--masks` takes them: `NAME`, or with arguments `NAME:value:value`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Protocol, get_args, get_type_hints

import torch
from jaxtyping import Float
from torch import Tensor

from boed.data.masks import areas, scattered_pixels
from boed.data.masks.blobs import blobs
from boed.data.masks.squares_and_holes import holes, squares
from boed.foundation.options import COUNT, FRACTION, Names, Number, Text, Whole, split_names
from boed.foundation.registry import Registry, check_known

MASKS: Registry[Callable[..., Tensor]] = Registry(
    "masks",
    {
        "squares": squares,
        "holes": holes,
        "blobs": blobs,
        "top": areas.top,
        "bottom": areas.bottom,
        "left": areas.left,
        "right": areas.right,
        "edge": areas.edge,
        "centre_seen": areas.centre_seen,
        "centre_hole": areas.centre_hole,
        "half": areas.half,
        "rectangle": areas.rectangle,
        "patches": areas.patches,
        "scattered": scattered_pixels.scattered,
        "dropped": scattered_pixels.dropped,
        "pattern": scattered_pixels.pattern,
    },
)
"""All of them: functions `(batch, size, ..., generator) -> [B, 1, H, W]`."""


class DrawMasks(Protocol):
    """A distribution of masks with its arguments."""

    def __call__(
        self, batch: int, size: int, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "B 1 H W"]:
        """So many masks of scenes so many pixels wide.

        Raises:
            ValueError: an argument does not fit that size.
        """
        ...


def named(text: str, *, argument: str = "masks") -> DrawMasks:
    """The distribution that a text says.

    >>> named("top:3")(2, 8).sum((1, 2, 3))
    tensor([24., 24.])
    >>> named("top:3:4")
    Traceback (most recent call last):
    ValueError: masks top:3:4: has 2 arguments, expected at most 1, as top:rows

    Args:
        text: a name of `MASKS`, and after colons values of the function's arguments, in order.
        argument: what the text was given for, in error messages.

    Raises:
        ValueError: an unknown name, too many arguments, or one of another kind.
    """
    Text().check(argument, text)
    name, *given = str(text).split(":")
    check_known(argument, name, MASKS)
    function, takes = MASKS[name], arguments(name)
    if len(given) > len(takes):
        shown = f"at most {len(takes)}, as {':'.join((name, *takes))}" if takes else "none"
        raise ValueError(f"{argument} {text}: has {len(given)} arguments, expected {shown}")
    for (called, kind), value in zip(takes.items(), given, strict=False):
        kind.read(f"{argument} {text}: {called}", value)
    values = {
        called: int(value) if isinstance(kind, Whole) else float(value)
        for (called, kind), value in zip(takes.items(), given, strict=False)
    }

    def draw(
        batch: int, size: int, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "B 1 H W"]:
        try:
            return function(batch, size, **values, generator=generator)
        except ValueError as error:
            raise ValueError(
                f"{argument} {text}: {error}, for scenes of {size} x {size} pixels"
            ) from error

    return draw


def arguments(name: str) -> dict[str, Whole | Number]:
    """What may stand after a name of `MASKS`, in order: whole numbers of pixels, or fractions."""
    hints = get_type_hints(MASKS[name])
    kinds = {each: {hint, *get_args(hint)} for each, hint in hints.items()}
    return {
        each: COUNT if int in kinds[each] else FRACTION
        for each in [*inspect.signature(MASKS[name]).parameters][2:]  # batch and size first
        if kinds[each] & {int, float}
    }


def read_masks(text: str | Sequence[str], *, argument: str = "masks") -> tuple[str, ...]:
    """Several masks that differ, from text with commas between or from a list.

    >>> read_masks("blobs, top:14")
    ('blobs', 'top:14')

    Raises:
        ValueError: none, one twice, or as `named` says.
    """
    Names().check(argument, text)
    names = tuple(split_names(text))
    for each in names:
        named(each, argument=argument)
    return names


def check_masks(text: str, size: int, *, argument: str = "masks") -> None:
    """Refuse masks that scenes of a size cannot have.

    Raises:
        ValueError: as `named` says, or an argument does not fit the size.
    """
    named(text, argument=argument)(1, size, generator=torch.Generator())
