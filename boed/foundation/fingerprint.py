"""A checksum of what an object holds, to know a computation again by what went into it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def fingerprint(*things: object) -> str:
    """sha256 of everything that the things hold, as hexadecimal digits.

    Numbers, text, tensors, arrays, sequences, mappings, modules (their weights and settings),
    dataclasses and other objects (their class and attributes, but for what a `cached_property`
    keeps) are read through.

    Raises:
        TypeError: something whose content cannot be read, such as a function.
    """
    digest = hashlib.sha256()
    for thing in things:
        _add(digest, thing, ())
    return digest.hexdigest()


def of_source(*packages: str) -> str:
    """sha256 of the Python source of some installed packages."""
    import importlib.util

    digest = hashlib.sha256()
    for package in packages:
        found = importlib.util.find_spec(package)
        if found is None or not found.submodule_search_locations:
            raise TypeError(f"{package} is not installed from source")
        for folder in found.submodule_search_locations:
            for path in sorted(Path(folder).rglob("*.py")):
                digest.update(path.read_bytes())
    return digest.hexdigest()


_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


def _add(digest: Any, thing: object, within: tuple[int, ...]) -> None:
    if id(thing) in within:
        raise TypeError(f"{type(thing).__name__} holds itself")
    inner = (*within, id(thing))
    digest.update(f"<{type(thing).__module__}.{type(thing).__qualname__}>".encode())
    if thing is None or isinstance(thing, bool | int | float | complex | str | torch.dtype):
        digest.update(repr(thing).encode())
    elif isinstance(thing, bytes):
        digest.update(thing)
    elif isinstance(thing, Path | torch.device):
        digest.update(str(thing).encode())
    elif isinstance(thing, np.ndarray) and thing.dtype.kind in "US":
        digest.update(f"{thing.shape} {thing.tolist()}".encode())
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
    elif isinstance(thing, nn.Module):
        own = {k: v for k, v in _attributes(thing).items() if k not in _OF_EVERY_MODULE}
        _add(digest, {**own, **thing.state_dict()}, inner)
    elif dataclasses.is_dataclass(thing):
        fields = [field.name for field in dataclasses.fields(thing)]
        _add(digest, {name: getattr(thing, name) for name in fields}, inner)
    elif callable(thing) or not hasattr(thing, "__dict__"):
        raise TypeError(f"cannot read what a {type(thing).__name__} holds")
    else:
        _add(digest, _attributes(thing), inner)


def _attributes(thing: object) -> dict[str, Any]:
    """What an object holds, without what it has worked out from that (`cached_property`)."""
    kept = vars(thing).items()
    return {k: v for k, v in kept if not isinstance(getattr(type(thing), k, None), cached_property)}
