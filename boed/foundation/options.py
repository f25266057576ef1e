"""Kinds of options: what a value may be, whoever gives it, and in what words it is refused.

Each kind checks a value that came from Python or from a file of settings, and reads one that was
typed. Both raise a ValueError that says the option's name, what was given and what is expected.
"""

from __future__ import annotations

import importlib
import math
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Protocol

from boed.foundation.checks import at_least, at_most, describe, more_than
from boed.foundation.registry import check_known


class Kind(Protocol):
    """What is expected of an option."""

    def check(self, name: str, value: Any) -> None:
        """Refuse a value."""
        ...

    def read(self, name: str, text: str) -> None:
        """Refuse a value that was typed."""
        ...


def refusal(name: str, value: object, expected: str) -> ValueError:
    """The error for a value of another kind than expected."""
    given = describe(value) if hasattr(value, "dtype") else repr(value)
    return ValueError(f"{name} is {given}, expected {expected}")


@dataclass(frozen=True)
class Whole:
    """A whole number."""

    minimum: int = 1
    maximum: int | None = None

    def check(self, name: str, value: Any) -> None:
        """See `Kind`."""
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise refusal(name, value, "a whole number")
        at_least(self.minimum, **{name: int(value)})
        if self.maximum is not None:
            at_most(self.maximum, **{name: int(value)})

    def read(self, name: str, text: str) -> None:
        """See `Kind`."""
        try:
            value = int(text)
        except ValueError:
            raise refusal(name, text, "a whole number") from None
        self.check(name, value)


@dataclass(frozen=True)
class Wholes(Whole):
    """Different whole numbers, at least one: a list, or text with commas between."""

    def check(self, name: str, value: Any) -> None:
        """See `Kind`."""
        expected = "different whole numbers, with commas between"
        if not isinstance(value, list | tuple) or not value or len(set(value)) < len(value):
            raise refusal(name, value, expected)
        for each in value:
            super().check(f"one of {name}", each)

    def read(self, name: str, text: str) -> None:
        """See `Kind`."""
        self.check(name, read_wholes(name, text))


def read_wholes(name: str, text: str) -> tuple[int, ...]:
    """Whole numbers from text with commas between.

    Raises:
        ValueError: something of it is none.
    """
    try:
        return tuple(map(int, split_names(text)))
    except ValueError:
        raise refusal(name, text, "different whole numbers, with commas between") from None


@dataclass(frozen=True)
class Seeds(Whole):
    """How many seeds; in a file also a list of different ones."""

    def check(self, name: str, value: Any) -> None:
        """See `Kind`."""
        if not isinstance(value, list):
            super().check(name, value)
            return
        for each in value:
            SEED.check(f"one of {name}", each)
        if not value or len(set(value)) < len(value):
            raise refusal(name, value, "a number of seeds, or a list of different ones")


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number, neither NaN nor, unless it may be, infinite."""

    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    finite: bool = True

    def check(self, name: str, value: Any) -> None:
        """See `Kind`."""
        if isinstance(value, bool) or not isinstance(value, Real):
            raise refusal(name, value, "a number")
        given = {name: float(value)}
        if self.minimum is not None:
            at_least(self.minimum, **given)
        if self.above is not None:
            more_than(self.above, **given)
        if self.maximum is not None:
            at_most(self.maximum, **given)
        if math.isnan(value) or (self.finite and math.isinf(value)):
            raise refusal(name, value, "a finite number")

    def read(self, name: str, text: str) -> None:
        """See `Kind`."""
        try:
            value = float(text)
        except ValueError:
            raise refusal(name, text, "a number") from None
        self.check(name, value)


@dataclass(frozen=True)
class Text:
    """Something written, such as a name or a path."""

    def check(self, name: str, value: Any) -> None:
        """See `Kind`."""
        if not isinstance(value, str | Path):
            raise refusal(name, value, "text")
        if not str(value).strip():
            raise refusal(name, value, "text that is not empty")

    def read(self, name: str, text: str) -> None:
        """See `Kind`."""
        self.check(name, text)


@dataclass(frozen=True)
class OneOf(Text):
    """One of some names.

    Attributes:
        names: the names, or where they lie, as `module:NAME`, imported when they are needed.
    """

    names: str | tuple[str, ...] = ()

    def check(self, name: str, value: Any) -> None:
        """See `Kind`."""
        super().check(name, value)
        check_known(name, value, self.known)

    @property
    def known(self) -> Iterable[str]:
        """The names."""
        if isinstance(self.names, tuple):
            return self.names
        module, _, attribute = self.names.partition(":")
        known: Iterable[str] = getattr(importlib.import_module(module), attribute)
        return known


@dataclass(frozen=True)
class Spelled(Text):
    """What a function can read, such as a name with arguments.

    Attributes:
        reader: the function, as `module:name`, imported when it is needed; it takes what was given,
            and what for as `argument`.
    """

    reader: str

    def check(self, name: str, value: Any) -> None:
        """See `Kind`."""
        super().check(name, value)
        module, _, function = self.reader.partition(":")
        getattr(importlib.import_module(module), function)(value, argument=name)


@dataclass(frozen=True)
class Names:
    """Different names, at least one: a list, or text with commas between."""

    def check(self, name: str, value: Any) -> None:
        """See `Kind`."""
        if not isinstance(value, str | list | tuple):
            raise refusal(name, value, "names, with commas between or as a list")
        names = split_names(value)
        for each in names:
            Text().check(f"one of {name}", each)
        if not names:
            raise ValueError(f"{name} is empty, expected at least one name")
        twice = sorted({each for each in names if names.count(each) > 1})
        if twice:
            raise ValueError(f"{name}: {', '.join(twice)} stands there twice, expected once")

    def read(self, name: str, text: str) -> None:
        """See `Kind`."""
        self.check(name, text)


def split_names(value: str | Iterable[str]) -> list[str]:
    """Names from a list, or from text with commas between."""
    if not isinstance(value, str):
        return list(value)
    return [each.strip() for each in value.split(",")] if value.strip() else []


@dataclass(frozen=True)
class SensorTable(Text):
    """A sensor with its options, as text or as a table."""

    def check(self, name: str, value: Any) -> None:
        """See `Kind`."""
        if not isinstance(value, Mapping):
            super().check(name, value)
        elif not isinstance(value.get("name"), str):
            raise refusal(name, dict(value), "a table with a name")


@dataclass(frozen=True)
class Shares(Text):
    """Probabilities by name, as a table or as `name=0.3,other=0.7`; or one number."""

    def check(self, name: str, value: Any) -> None:
        """See `Kind`."""
        for answer, share in self.of(name, value).items():
            if not 0 < share < 1:
                called = f"{name} of {answer}" if answer else name
                raise refusal(called, share, "0 < p < 1")

    def of(self, name: str, value: Any) -> dict[str, float]:
        """What was given as a table; a number alone under no name."""
        try:
            if isinstance(value, bool):
                raise TypeError
            if isinstance(value, Mapping):
                return {str(answer): float(share) for answer, share in value.items()}
            if isinstance(value, str) and "=" in value:
                pairs = [each.split("=") for each in value.split(",")]
                table = {answer.strip(): float(share) for answer, share in pairs}
                if len(table) < len(pairs):
                    raise ValueError
                return table
            return {"": float(value)}
        except (TypeError, ValueError):
            raise refusal(name, value, "a probability, or name=0.3,other=0.7") from None


@dataclass(frozen=True)
class Switch:
    """Yes or no."""

    def check(self, name: str, value: Any) -> None:
        """See `Kind`."""
        if not isinstance(value, bool):
            raise refusal(name, value, "true or false")

    def read(self, name: str, text: str) -> None:
        """See `Kind`."""
        raise refusal(name, text, "no value")


@dataclass(frozen=True)
class Device(Text):
    """Where models run: `cpu`, `cuda`, or `cuda:1` for the second GPU; it has to be there."""

    def check(self, name: str, value: Any) -> None:
        """See `Kind`."""
        super().check(name, value)
        kind, colon, index = str(value).partition(":")
        if kind not in ("cpu", "cuda") or (colon and (kind == "cpu" or not index.isdecimal())):
            raise refusal(name, value, "cpu or cuda")
        if kind == "cuda":
            import torch

            there = torch.cuda.device_count()
            if int(index or 0) >= there:
                raise ValueError(f"{name} is {value!r}, but torch sees {there} GPUs; expected cpu")


@dataclass(frozen=True)
class Existing(Text):
    """A file that is read, or where `folder` says so a folder."""

    folder: bool = False

    def check(self, name: str, value: Any) -> None:
        """See `Kind`."""
        super().check(name, value)
        if not os.path.exists(value):
            raise ValueError(f"{name} is '{value}', which does not exist")
        if self.folder and not os.path.isdir(value):
            raise ValueError(f"{name} is '{value}', which is a file, expected a folder")
        if not self.folder and os.path.isdir(value):
            raise ValueError(f"{name} is '{value}', which is a folder, expected a file")


@dataclass(frozen=True)
class OutFolder(Text):
    """A folder that is written to, perhaps a new one."""

    def check(self, name: str, value: Any) -> None:
        """See `Kind`."""
        super().check(name, value)
        if os.path.exists(value) and not os.path.isdir(value):
            raise ValueError(f"{name} is '{value}', which is a file, expected a folder")
        _check_writable(name, value, Path(value))


@dataclass(frozen=True)
class RunFolder(OutFolder):
    """The folder of a run: a new or empty one, or one in which a run was begun."""

    def check(self, name: str, value: Any) -> None:
        """See `Kind`."""
        from boed.foundation.identity import check_home  # which needs torch

        super().check(name, value)
        check_home(Path(value), name)


@dataclass(frozen=True)
class OutFile(Text):
    """A file that is written, with one of some endings."""

    endings: tuple[str, ...] = ()

    def check(self, name: str, value: Any) -> None:
        """See `Kind`."""
        super().check(name, value)
        if os.path.isdir(value):
            raise ValueError(f"{name} is '{value}', which is a folder, expected a file to write")
        if Path(value).suffix.lower() not in self.endings:
            raise refusal(
                name, str(value), f"a file that ends in {' or '.join(self.endings)} to write"
            )
        _check_writable(name, value, Path(value).parent)


def _check_writable(name: str, value: str | Path, folder: Path) -> None:
    """Refuse a folder that cannot be written to, or could not be made."""
    folder = folder.absolute()
    try:
        Path(value).exists()  # not even a name that a file could have, such as one too long
        there = next(each for each in (folder, *folder.parents) if each.exists())
        if not there.is_dir():
            raise ValueError(f"{name} is '{value}', but {there} is a file, expected a folder")
        with tempfile.TemporaryFile(dir=there):  # rights alone do not say it: /proc has them
            pass
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"{name} is '{value}', which cannot be written ({reason})") from error


COUNT = Whole(1)
LARGEST_SEED = 2**63 - 1
SEED = Whole(0, LARGEST_SEED)
FRACTION = Number(above=0, maximum=1)
