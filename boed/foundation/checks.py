"""Checks of arguments: counts and sizes, each refused in one way of saying it."""

from __future__ import annotations

from typing import Any, Protocol


def at_least(minimum: float, **values: float) -> None:
    """Refuse a value below `minimum`, or NaN.

    >>> at_least(1, n=3, looks=0)
    Traceback (most recent call last):
    ValueError: looks is 0, expected at least 1

    Raises:
        ValueError: naming the first such argument.
    """
    for name, value in values.items():
        if not value >= minimum:
            raise ValueError(f"{name} is {value}, expected at least {minimum}")


def more_than(bound: float, **values: float) -> None:
    """Refuse a value that is not more than `bound`, or NaN.

    Raises:
        ValueError: naming the first such argument.
    """
    for name, value in values.items():
        if not value > bound:
            raise ValueError(f"{name} is {value}, expected more than {bound}")


def at_most(maximum: float, **values: float) -> None:
    """Refuse a value above `maximum`, or NaN.

    Raises:
        ValueError: naming the first such argument.
    """
    for name, value in values.items():
        if not value <= maximum:
            raise ValueError(f"{name} is {value}, expected at most {maximum}")


def attributes(owner: object, *names: str) -> dict[str, Any]:
    """Some attributes of an object by name, as the checks take them."""
    return {name: getattr(owner, name) for name in names}


class Sized(Protocol):
    """Anything of images: a data set, an observation, a model's configuration."""

    @property
    def size(self) -> int: ...

    @property
    def channels(self) -> int: ...


def check_fits(role: str, model: Sized, given: Sized, *, name: str) -> None:
    """Refuse images that are not of the size and channels that something is for.

    Images are square where what they belong to has no `shape`, height and width, of its own.

    Args:
        role: what is given images, such as `classifier`.
        model: what says for which images it is.
        given: the images.
        name: what they are called.

    Raises:
        ValueError: naming both sizes.
    """
    if (model.channels, _shape(model)) != (given.channels, _shape(given)):
        raise ValueError(
            f"{role} is for {model.channels} channels of {_pixels(model)} pixels; "
            f"{name} has {given.channels} of {_pixels(given)}"
        )


def _shape(images: Sized) -> tuple[int, int]:
    height, width = getattr(images, "shape", (images.size, images.size))
    return height, width


def _pixels(images: Sized) -> str:
    height, width = _shape(images)
    return str(width) if height == width else f"{height} x {width}"
