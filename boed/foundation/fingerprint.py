"""A checksum of what an object holds, to know a computation again by what went into it."""

from __future__ import annotations

import dataclasses
import dis
import functools
import hashlib
import inspect
import sys
from collections.abc import Mapping
from functools import cache, cached_property
from io import IOBase
from pathlib import Path
from types import (
    BuiltinFunctionType,
    CodeType,
    EllipsisType,
    FunctionType,
    MethodType,
    ModuleType,
    NoneType,
)
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def fingerprint(*things: object) -> str:
    """sha256 of everything that the things hold, as hexadecimal digits.

    Numbers, text, tensors, arrays, sequences, mappings, modules (their weights and settings),
    functions (their code, defaults and what they close over), dataclasses (but for fields that
    compare as equal whatever they hold, `field(compare=False)`) and other objects (their class and
    attributes, but for what a `cached_property` keeps; or what its method `__fingerprint__` returns
    in their place) are read through. Of a class that is not installed but the user's own, its
    source counts too, and of functions and methods of the user's what they read of their module, as
    for `of_function`.

    Raises:
        TypeError: something whose content cannot be read, such as an open file.
    """
    digest = hashlib.sha256()
    for thing in things:
        _add(digest, thing, ())
    return digest.hexdigest()


def of_function(function: object) -> str:
    """sha256 of a function by its source text, the same for every version of Python.

    With its defaults, what it closes over or is bound to, and what it reads of its module:
    constants by content, functions and classes in the same way, modules of the user's by their
    source. A function of an installed package counts by its name, what has no source by its code,
    and what cannot be read by its class.
    """
    return _of_function(function, ())


def _of_function(function: object, within: tuple[int, ...]) -> str:
    bound = function.__self__ if isinstance(function, MethodType) else None
    plain = function.__func__ if isinstance(function, MethodType) else function
    if not isinstance(plain, FunctionType):
        return _readable(function, within)
    within = (*within, id(plain))
    read: list[str] = []
    if not is_users(plain):
        text = f"{plain.__module__}.{plain.__qualname__}"
    else:
        read = _read_by(plain, within)
        try:
            text = inspect.cleandoc(inspect.getsource(plain))
        except (OSError, TypeError):
            text = _readable(plain.__code__.co_code)
    closed = [_readable(cell.cell_contents, within) for cell in plain.__closure__ or ()]
    held = [_readable(each, within) for each in (plain.__defaults__, plain.__kwdefaults__, bound)]
    return fingerprint(text, closed, held, *read)


def _readable(thing: object, within: tuple[int, ...] = ()) -> str:
    """Its fingerprint; of a thing that cannot be read that of its class."""
    if id(thing) in within:  # functions that call each other
        return "within"
    try:
        if isinstance(thing, FunctionType):
            return _of_function(thing, within)
        digest = hashlib.sha256()
        _add(digest, thing, within)
        return digest.hexdigest()
    except Exception:  # whatever a user's part raises when it is read
        return f"{type(thing).__module__}.{type(thing).__qualname__}"


def _read_by(function: FunctionType, within: tuple[int, ...]) -> list[str]:
    """Names that a user's function takes from its module, and what they stand for."""
    space = function.__globals__
    names = sorted(name for name in _loaded(function.__code__) if name in space)
    return [part for name in names for part in (name, _of_global(space[name], within))]


def _loaded(code: CodeType) -> set[str]:
    """Names that code looks up in its module, or among Python's own."""
    names = {each.argval for each in dis.get_instructions(code) if each.opname == "LOAD_GLOBAL"}
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return names.union(*map(_loaded, inner))


def _of_global(thing: object, within: tuple[int, ...]) -> str:
    """What a name of a module stands for."""
    thing = getattr(thing, "__wrapped__", thing)  # functools.wraps, cache
    if isinstance(thing, functools.partial):
        return fingerprint(
            _of_global(thing.func, within), _readable((thing.args, thing.keywords), within)
        )
    if isinstance(thing, type):
        return fingerprint(thing.__qualname__, _own(thing, within))
    if isinstance(thing, ModuleType):
        users = not _installed(thing.__name__.split(".")[0])
        return thing.__name__ + (_source(thing) if users else "")
    return _readable(thing, within)


def is_users(thing: object) -> bool:
    """Whether a function or class is of the user's script, notebook or module, of no package."""
    module = getattr(thing, "__module__", None)
    return isinstance(module, str) and not _installed(module.split(".")[0])


def of_source(*packages: str) -> str:
    """sha256 of the Python source of some installed packages."""
    import importlib.util

    digest = hashlib.sha256()
    for package in packages:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise TypeError(f"{package} is not installed from source")
        for folder in spec.submodule_search_locations:
            for path in sorted(Path(folder).rglob("*.py")):
                digest.update(path.read_bytes())
    return digest.hexdigest()


_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


def _add(digest: Any, thing: object, within: tuple[int, ...]) -> None:
    if id(thing) in within:
        raise TypeError(f"{type(thing).__name__} holds itself")
    inner = (*within, id(thing))
    digest.update(f"<{type(thing).__module__}.{type(thing).__qualname__}>".encode())
    kind: Any = type(thing)
    digest.update(_own(kind, inner).encode())
    if hasattr(kind, "__fingerprint__") and not isinstance(thing, type):
        _add(digest, thing.__fingerprint__(), inner)  # type: ignore[attr-defined]
    elif isinstance(
        thing, bool | int | float | complex | str | torch.dtype | NoneType | EllipsisType
    ):
        digest.update(repr(thing).encode())
    elif isinstance(thing, bytes):
        digest.update(thing)
    elif isinstance(thing, Path | torch.device):
        digest.update(str(thing).encode())
    elif isinstance(thing, np.ndarray) and thing.dtype.kind in "US":
        digest.update(f"{thing.shape} {thing.tolist()}".encode())
    elif isinstance(thing, Tensor) and thing.layout != torch.strided:
        entries = thing.detach().cpu().to_sparse_coo().coalesce()
        _add(digest, (tuple(thing.shape), entries.indices(), entries.values()), inner)
    elif isinstance(thing, Tensor | np.ndarray):
        array = thing.detach().cpu() if isinstance(thing, Tensor) else torch.from_numpy(thing)
        digest.update(f"{tuple(array.shape)} {array.dtype}".encode())
        digest.update(array.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(thing, Mapping):
        for key, value in thing.items():
            _add(digest, key, inner)
            _add(digest, value, inner)
    elif isinstance(thing, tuple | list | range):
        digest.update(str(len(thing)).encode())
        for each in thing:
            _add(digest, each, inner)
    elif isinstance(thing, frozenset | set):
        _add(digest, sorted(thing, key=repr), inner)
    elif isinstance(thing, slice):
        _add(digest, (thing.start, thing.stop, thing.step), inner)
    elif isinstance(thing, nn.Module):
        for name, module in thing.named_modules():
            own = {k: v for k, v in _attributes(module).items() if k not in _OF_EVERY_MODULE}
            _add(digest, (name, type(module).__qualname__, own), inner)
        _add(digest, dict(thing.state_dict()), inner)
    elif dataclasses.is_dataclass(thing):
        fields = [field.name for field in dataclasses.fields(thing) if field.compare]
        _add(digest, {name: getattr(thing, name) for name in fields}, inner)
    elif isinstance(thing, FunctionType):
        closed = [cell.cell_contents for cell in thing.__closure__ or ()]
        code = _code(thing.__code__)
        _add(digest, (code, thing.__defaults__, thing.__kwdefaults__, closed), inner)
        if is_users(thing):
            _add(digest, _read_by(thing, inner), inner)
    elif isinstance(thing, MethodType):
        _add(digest, (thing.__func__, thing.__self__), inner)
    elif isinstance(thing, type | BuiltinFunctionType):
        digest.update(f"{thing.__module__}.{thing.__qualname__}".encode())
        if isinstance(thing, type):
            digest.update(_own(thing, within).encode())
    elif not hasattr(thing, "__dict__") or isinstance(thing, ModuleType | IOBase):
        raise TypeError(f"cannot read what a {type(thing).__name__} holds")
    else:
        _add(digest, _attributes(thing), inner)


def _code(code: CodeType) -> tuple[object, ...]:
    """What a function does: its instructions, and the constants and names that they use."""
    constants = [_code(each) if isinstance(each, CodeType) else each for each in code.co_consts]
    return (code.co_code, tuple(constants), code.co_names, code.co_varnames)


def _own(kind: type, within: tuple[int, ...]) -> str:
    """Source of a class of the user's and of those it derives from, and what methods read."""
    if not is_users(kind) or id(kind) in within:
        return ""
    within = (*within, id(kind))
    parts: list[str] = []
    for each in kind.__mro__:
        if is_users(each):
            parts.append(_source(each))
            for method in filter(None, map(_method, vars(each).values())):
                if not parts[0]:
                    parts.append(_readable(method.__code__.co_code))
                parts += _read_by(method, (*within, id(method)))
    return "\n".join(parts)


def _method(value: object) -> FunctionType | None:
    """The function behind an entry of a class: a method, of whatever kind, or a property."""
    for name in ("__func__", "fget", "func", "__wrapped__"):
        value = getattr(value, name, value)
    return value if isinstance(value, FunctionType) else None


@cache
def _source(thing: Any) -> str:
    """The source of a class or module, if there is one."""
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):
        return ""


@cache
def _installed(package: str) -> bool:
    if package in sys.stdlib_module_names or package == __name__.split(".")[0]:
        return True
    origin = getattr(sys.modules.get(package), "__file__", None) or ""
    return any(part in ("site-packages", "dist-packages") for part in Path(origin).parts)


def _attributes(thing: object) -> dict[str, Any]:
    """What an object holds, without what it has worked out from that (`cached_property`)."""
    held = vars(thing).items()
    return {k: v for k, v in held if not isinstance(getattr(type(thing), k, None), cached_property)}
