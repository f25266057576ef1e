"""Arguments of public functions and dataclasses, checked against their annotations."""

from __future__ import annotations

import collections.abc
import functools
import inspect
import sys
import types
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from boed.foundation.checks import attribute, check_protocol, describe
from boed.foundation.registry import check_known

Checked = TypeVar("Checked", bound=Callable[..., Any])

WORDS: dict[object, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
    type(None): "None",
    tuple: "a tuple",
    list: "a list",
    collections.abc.Callable: "a function",
    collections.abc.Sequence: "a list",
    collections.abc.Iterable: "a list",
    collections.abc.Mapping: "objects by name",
}


def checked(thing: Checked) -> Checked:
    """Refuse arguments of another kind than annotated, before a function or dataclass uses them.

    What is checked is the kind alone: that a tensor is one, not its shape, and that a list is one,
    not what is in it. Names that are imported for type checking alone are not checked.

    >>> @checked
    ... def wait(seconds: float, *, times: int = 1) -> None: ...
    >>> wait("long")
    Traceback (most recent call last):
    ValueError: seconds is a str, 'long', expected a number
    >>> wait(1, times=2.5)
    Traceback (most recent call last):
    ValueError: times is a float, 2.5, expected a whole number

    Args:
        thing: a function, or a dataclass, whose constructor is then checked.
    """
    if isinstance(thing, type):
        thing.__init__ = checked(thing.__init__)  # type: ignore[misc]
        return thing
    signature = inspect.signature(thing)

    @functools.cache
    def hints() -> dict[str, Any]:
        home = vars(sys.modules[thing.__module__])
        return {
            name: _evaluated(each.annotation, home)
            for name, each in signature.parameters.items()
            if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        }

    @functools.wraps(thing)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            return thing(*args, **kwargs)  # whose own refusal says its name
        known = hints()
        for name, value in given.items():
            if name in known:
                check_kind(name, value, known[name])
        return thing(*args, **kwargs)

    return call  # type: ignore[return-value]


def check_kind(name: str, value: object, hint: Any) -> None:
    """Refuse a value of another kind than an annotation says.

    Raises:
        ValueError: naming what was given and what is expected.
    """
    if _fits(value, hint):
        return
    choices = [each for each in _choices(hint) if each is not type(None)]
    if len(choices) == 1 and _methods(choices[0]):
        check_protocol(name, value, choices[0])
    if len(choices) == 1 and get_origin(choices[0]) is Literal and isinstance(value, str):
        check_known(name, value, get_args(choices[0]))
    words = list(dict.fromkeys(_in_words(each) for each in _choices(hint)))
    expected = " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
    raise ValueError(f"{name} is {describe(value)}, expected {expected}")


def _evaluated(annotation: Any, home: dict[str, Any]) -> Any:
    """What an annotation says; anything where it names what is there for type checking alone."""
    if not isinstance(annotation, str):
        return Any if annotation is inspect.Parameter.empty else annotation
    try:
        return eval(annotation, home)
    except NameError:
        return Any


def _choices(hint: Any) -> list[Any]:
    """The kinds that an annotation allows."""
    if get_origin(hint) in (Union, types.UnionType):
        return [each for part in get_args(hint) for each in _choices(part)]
    return [hint]


def _fits(value: object, hint: Any) -> bool:
    return any(_is(value, each) for each in _choices(hint))


def _is(value: object, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return isinstance(value, str | int) and value in get_args(kind)
    kind = _plain(kind)
    if kind is Any or not isinstance(kind, type):  # or a type variable
        return True
    if kind in (int, float):
        return isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    if kind is collections.abc.Sequence:  # of numbers also as an array or a tensor
        several = bool(getattr(value, "ndim", 0) == 1)
        return several or (isinstance(value, kind) and not isinstance(value, str | bytes))
    if _methods(kind):
        given = not isinstance(value, type) and not hasattr(value, "__array__")
        return given and all(callable(attribute(value, each, None)) for each in _methods(kind))
    return isinstance(value, kind)


def _plain(kind: Any) -> Any:
    """A class without what it holds: a tensor of any shape, a list of anything."""
    return getattr(kind, "array_type", None) or get_origin(kind) or kind


def _methods(kind: Any) -> list[str]:
    """The methods of a protocol; none of what is no protocol."""
    if not getattr(kind, "_is_protocol", False):
        return []
    named = {name: each for base in kind.__mro__ for name, each in vars(base).items()}
    return [
        name
        for name, each in named.items()
        if isinstance(each, types.FunctionType) and (not name.startswith("_") or name == "__call__")
    ]


def _in_words(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind)))
    kind = _plain(kind)
    if kind in WORDS:
        return WORDS[kind]
    name = getattr(kind, "__qualname__", str(kind))
    return f"{'an' if name[0] in 'aeiouAEIO' else 'a'} {name}"
