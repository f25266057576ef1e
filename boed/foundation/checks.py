"""Checks of arguments: counts, sizes and objects, each refused in one way of saying it."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor


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


def check_protocol(argument: str, thing: object, protocol: type, *, advice: str = "") -> None:
    """Refuse what lacks a method of a protocol, or has one that cannot be called as the protocol's.

    >>> class Speaks(Protocol):
    ...     def speak(self, word): ...
    >>> check_protocol("dog", "Rex", Speaks)
    Traceback (most recent call last):
    ValueError: dog is a str, 'Rex', without speak; expected an object with speak(word)

    Args:
        argument: what the thing was given as.
        thing: anything; a class in place of an object of it is refused, too.
        protocol: its public methods are what is asked for.
        advice: what to do about a missing method.

    Raises:
        ValueError: naming what was given and all that is expected.
    """
    methods = {
        name: list(inspect.signature(method).parameters.values())[1:]
        for each in reversed(protocol.__mro__)
        for name, method in vars(each).items()
        if isinstance(method, FunctionType) and not name.startswith("_")
    }
    called = {
        name: f"{name}({', '.join(each.name for each in parameters)})"
        for name, parameters in methods.items()
    }
    expected = f"expected an object with {', '.join(called.values())}{advice and '; '}{advice}"
    if isinstance(thing, type):
        raise ValueError(f"{argument} is the class {thing.__qualname__} itself; {expected}")
    for name, parameters in methods.items():
        method = attribute(thing, name, None)
        if not callable(method):
            raise ValueError(f"{argument} is {describe(thing)}, without {name}; {expected}")
        keywords = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
        try:
            inspect.signature(method).bind(
                *parameters[: len(parameters) - len(keywords)], **dict.fromkeys(keywords)
            )
        except TypeError as error:
            raise ValueError(
                f"{argument}: {type(thing).__qualname__}.{name} cannot be called as "
                f"{called[name]}: {error}"
            ) from error
        except ValueError:  # one in C, whose arguments cannot be read
            continue


def describe(thing: object) -> str:
    """What was given or returned, in an error's words.

    >>> describe(None), describe(5), describe([1]), describe(object)
    ('None', 'an int, 5', 'a list', 'the class object')
    """
    if thing is None:
        return "None"
    if isinstance(thing, type):
        return f"the class {thing.__qualname__}"
    name = type(thing).__qualname__
    kind = f"{'an' if name[0] in 'aeiouAEIO' else 'a'} {name}"
    if hasattr(thing, "dtype") and hasattr(thing, "shape"):  # a tensor or an array
        return f"{kind}, {str(thing.dtype).removeprefix('torch.')} {tuple(thing.shape)}"
    return f"{kind}, {thing!r}" if isinstance(thing, str | int | float) else kind


def check_floating(name: str, returned: object, expected: str) -> Tensor:
    """What a user's method returned, which has to be a tensor of floating-point numbers.

    Args:
        name: class and method.
        returned: by it.
        expected: in words, such as `log-probabilities [B, K]`.

    Raises:
        ValueError: it is another thing, or of another dtype.
    """
    import torch

    if not isinstance(returned, torch.Tensor):
        raise ValueError(f"{name} returned {describe(returned)}, expected a tensor of {expected}")
    if not returned.is_floating_point():
        ordered = returned.numel() > 0 and not returned.is_complex()
        low_high = f", from {returned.min()} to {returned.max()}" if ordered else ""
        raise ValueError(
            f"{name} returned {describe(returned)}{low_high}, expected floating-point {expected}"
        )
    return returned


@contextmanager
def calling(part: object, method: str = "") -> Iterator[None]:
    """Within which a part is called: what goes wrong inside is told with its class and the method.

    Anything that a user's part raises is an error of that part. Of this package's own parts only
    what they refuse is told so: the rest is a fault of ours, whose traceback is wanted.

    Args:
        part: that is called; a function stands for itself.
        method: of it; none if the part itself is called.

    Raises:
        ValueError: what was refused, with the name before it unless it is named already; or
            whatever else a user's part raised, with the line of its module.
    """
    name = called(part, method)
    try:
        yield
    except ValueError as error:
        if name.partition(".")[0] in str(error):
            raise
        raise ValueError(f"{name}: {error}") from error
    except (Exception, SystemExit) as error:  # a library that it uses may call sys.exit
        if is_ours(part):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
        raise ValueError(f"{name}: {reason}{_line(part, error)}") from error


def attribute(part: object, name: str, default: Any) -> Any:
    """What a part says of itself, or the default where it says nothing.

    Raises:
        ValueError: the part raised when it was asked, as `calling` words it.
    """
    with calling(part, name):
        return getattr(part, name, default)


def called(part: object, method: str = "") -> str:
    """Class and method of a part, or the name of a function, in an error's words."""
    if isinstance(part, MethodType):
        return called(part.__self__, part.__name__)
    name: str = getattr(part, "__name__", type(part).__name__)
    return f"{name}.{method}" if method else name


def is_ours(part: object) -> bool:
    """Whether a part's class, or a function, is of this package rather than a user's own."""
    return _module(part).partition(".")[0] == __name__.partition(".")[0]


def _module(part: object) -> str:
    if isinstance(part, MethodType):
        return _module(part.__self__)
    return str((part if isinstance(part, FunctionType) else type(part)).__module__)


def _line(part: object, error: BaseException) -> str:
    """Where in the part's module an error was raised, if it was there."""
    lines = [
        f" ({Path(frame.f_code.co_filename).name}, line {number})"
        for frame, number in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__") == _module(part)
    ]
    return lines[-1] if lines else ""


class Sized(Protocol):
    """Anything of images: a data set, an observation, a model's configuration."""

    @property
    def size(self) -> int: ...

    @property
    def channels(self) -> int: ...


def check_fits(role: str, model: Sized, given: Sized, *, name: str, resized: bool = False) -> None:
    """Refuse images that are not of the size and channels that something is for.

    Images are square where what they belong to has no `shape`, height and width, of its own.

    Args:
        role: what is given images, such as `classifier`.
        model: what says for which images it is.
        given: the images.
        name: what they are called.
        resized: whether they can be read at another size.

    Raises:
        ValueError: naming both sizes.
    """
    if (model.channels, _shape(model)) != (given.channels, _shape(given)):
        fits = resized and model.channels == given.channels
        advice = f": read them with `size={model.size}`" if fits else ""
        raise ValueError(
            f"{role} is for {model.channels} channels of {_pixels(model)} pixels; "
            f"{name} has {given.channels} of {_pixels(given)}{advice}"
        )


def _shape(images: Sized) -> tuple[int, int]:
    height, width = getattr(images, "shape", (images.size, images.size))
    return height, width


def _pixels(images: Sized) -> str:
    height, width = _shape(images)
    return str(width) if height == width else f"{height} x {width}"
