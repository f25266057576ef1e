"""Things by name: one look-up, one "did you mean", and users' own objects by where they lie."""

from __future__ import annotations

import difflib
import importlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T")

_FEWEST = 3
"""Letters that tell which name was begun."""


def unknown(
    argument: str, name: object, known: Iterable[str], *, extra: str = "", path: str = ""
) -> ValueError:
    """The error for a name that is not known: what was given, the nearest, and all there are.

    What looks like a path, where one may be given, is told to be of no file.

    >>> raise unknown("completer", "runs/flow", ["flow"], path="a checkpoint")
    Traceback (most recent call last):
    ValueError: completer is 'runs/flow', a file that does not exist; expected the path of ...

    Args:
        argument: what the name was given for, such as `completer`.
        name: as given.
        known: what would have been right.
        extra: what else may be given, such as `or package.module:Class`.
        path: what the path is of that may be given in place of a name, such as `a checkpoint`.
    """
    names = list(known)
    if path and looks_like_path(name):
        return ValueError(
            f"{argument} is {str(name)!r}, a file that does not exist; expected the path of "
            f"{path}, or a name"
        )
    extra = f"or give the path of {path}" if path else extra
    hint = nearest(name, names)
    expected = f"{': ' + hint + 'Expected' if hint else ', expected'} {one_of(names)}"
    return ValueError(f"{argument} is {name!r}{expected}{extra and '; '}{extra}")


def looks_like_path(name: object) -> bool:
    """Whether a text is a path, not a name: with a separator, an ending, or `.` or `~` first.

    >>> [looks_like_path(each) for each in ("a/b", "x.png", "~", ".", "flow-kermany-64", "pkg:A")]
    [True, True, True, True, False, False]
    """
    text = str(name)
    return text.startswith((".", "~")) or re.search(r"[/\\]|\.[A-Za-z]\w*$", text) is not None


def one_of(names: Sequence[str]) -> str:
    """What is expected where some names are known, in an error's words."""
    return f"{'one of ' if len(names) > 1 else ''}{', '.join(names) or 'none'}"


def nearest(name: object, known: Iterable[str]) -> str:
    """The question whether another name was meant; nothing where none is near.

    >>> nearest("digit", ["digits", "wine"]), nearest("mnist", ["digits", "mnist_28_unpacked"])
    ("did you mean 'digits'? ", "did you mean 'mnist_28_unpacked'? ")
    >>> nearest("nope", ["digits", "wine"])
    ''
    """
    by_lower, given = {each.lower(): each for each in known}, str(name).lower()
    near = difflib.get_close_matches(given, by_lower, n=1)
    if not near and len(given) >= _FEWEST:  # one is the beginning of the other
        near = [each for each in by_lower if each.startswith(given) or given.startswith(each)]
    return f"did you mean {by_lower[near[0]]!r}? " if near else ""


def check_known(argument: str, name: object, known: Iterable[str], *, extra: str = "") -> None:
    """Refuse a name that is not known.

    Raises:
        ValueError: as `unknown` words it.
    """
    names = list(known)
    if name not in names:
        raise unknown(argument, name, names, extra=extra)


class Registry(Mapping[str, T]):
    """Things of one kind by name, in the order in which they are listed.

    >>> shapes = Registry("shape", {"square": 4, "triangle": 3})
    >>> shapes["square"], list(shapes)
    (4, ['square', 'triangle'])
    >>> shapes["sqare"]
    Traceback (most recent call last):
    ValueError: shape is 'sqare': did you mean 'square'? Expected one of square, triangle

    Args:
        argument: what the names are given for, in error messages.
        entries: the things.
        lazy: things that are imported when they are asked for, as `package.module:name`.
        extra: what else may be given in place of a name, in error messages.
    """

    def __init__(
        self,
        argument: str,
        entries: Mapping[str, T] | None = None,
        *,
        lazy: Mapping[str, str] | None = None,
        extra: str = "",
    ) -> None:
        self.argument, self.extra = argument, extra
        self._entries: dict[str, T] = dict(entries or {})
        self._lazy = dict(lazy or {})
        self._names = tuple(dict.fromkeys((*self._entries, *self._lazy)))

    def __getitem__(self, name: str) -> T:
        """The thing of that name.

        Raises:
            ValueError: there is none; the nearest name is suggested.
        """
        check_known(self.argument, name, self, extra=self.extra)
        if name not in self._entries:
            module, attribute = self._lazy[name].split(":")
            self._entries[name] = getattr(importlib.import_module(module), attribute)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._lazy

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def names_object(text: str) -> bool:
    """Whether a text has the form `package.module:Name`, and is no path such as `C:/a`."""
    module, colon, attribute = text.partition(":")
    return bool(colon) and all(
        part.isidentifier() for part in (*module.split("."), *attribute.split("."))
    )


def import_object(text: str, *, argument: str, kind: type[Any] | None = None) -> Any:
    """A user's own object, by `package.module:Name`; modules in the working folder are found too.

    Args:
        text: where the object lies.
        argument: what it was given for, in error messages.
        kind: of what is looked for, of which an error names those that there are; classes and
            functions if not given.

    Raises:
        ValueError: the text has another form, there is no such module, importing it fails, or it
            has nothing of that name.
    """
    if not names_object(text):
        raise ValueError(f"{argument} is {text!r}, expected package.module:Name")
    name, _, attribute = text.partition(":")
    here = os.getcwd()
    if "" not in sys.path and here not in sys.path:
        sys.path.append(here)  # last, so that no file of the user's hides a library
    importlib.invalidate_caches()
    try:
        thing: Any = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ValueError(f"{argument} is {text!r}: importing {name} failed: {error}") from error
        raise ValueError(
            f"{argument} is {text!r}: there is no module {error.name}; expected it in {here}, on "
            "PYTHONPATH, or installed"
        ) from error
    except Exception as error:
        raise ValueError(
            f"{argument} is {text!r}: importing {name} failed: {type(error).__name__}: {error}"
        ) from error
    for part in attribute.split("."):
        if not hasattr(thing, part):
            raise unknown(argument, text, [f"{name}:{each}" for each in _own_names(thing, kind)])
        thing = getattr(thing, part)
    return thing


def make_own(text: str, *, argument: str) -> Any:
    """One of a user's own class, made without arguments.

    Args:
        text: where the class, or a function that makes one, lies.
        argument: what it was given for, in error messages.

    Raises:
        ValueError: see `import_object`, or it cannot be made so.
    """
    kind = import_object(text, argument=argument)
    try:
        return kind()
    except Exception as error:
        raise ValueError(
            f"{argument}: {text} cannot be made without arguments: {type(error).__name__}: {error}"
        ) from error


def _own_names(thing: Any, kind: type[Any] | None = None) -> list[str]:
    """The public classes and functions, not imported, of a module or class; or all of a kind."""
    if kind is not None:
        return [each for each, value in vars(thing).items() if isinstance(value, kind)]
    home = thing.__name__ if isinstance(thing, ModuleType) else getattr(thing, "__module__", "")
    return [
        each
        for each, value in vars(thing).items()
        if not each.startswith("_")
        and callable(value)
        and f"{getattr(value, '__module__', None)}.".startswith(f"{home}.")
    ]
