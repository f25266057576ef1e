"""Labelled results as netCDF files: one schema check for all kinds, whole files or none.

Attributes that netCDF has no type for (None, bool, lists, dicts) are stored as JSON; the attribute
`as_json` beside them says which ones, so that they are read as what they were.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from boed.foundation.files import atomic
from boed.foundation.memory import check_memory


@dataclass(frozen=True)
class Schema:
    """Which variables a data set has, and over which dimensions.

    Attributes:
        name: what errors call such a data set.
        needed: variables and their dimensions, in any order.
        optional: the like, of variables that may be missing.
        further: dimensions that any variable may have besides.
        rules: what else has to hold: called with the data set and its name, raises ValueError.
    """

    name: str
    needed: Mapping[str, Collection[str]]
    optional: Mapping[str, Collection[str]] = field(default_factory=dict, kw_only=True)
    further: Collection[str] = field(default=(), kw_only=True)
    rules: Callable[[xr.Dataset, str], None] | None = field(default=None, kw_only=True)

    def check(self, dataset: xr.Dataset, name: str | None = None) -> None:
        """Refuse a data set of another form.

        Args:
            dataset: what is checked.
            name: what errors call it, such as its file.

        Raises:
            ValueError: naming the variable that is missing or has other dimensions, or what the
                rules say.
        """
        called = name or self.name
        for variable, expected in {**self.needed, **self.optional}.items():
            if variable not in dataset:
                if variable in self.optional:
                    continue
                raise ValueError(
                    f"{called} has no variable {variable!r}; is it from another program?"
                )
            dims = set(map(str, dataset[variable].dims)) - set(self.further)
            if dims != set(expected):
                raise ValueError(
                    f"{called}: {variable} has dimensions {sorted(dims)}, "
                    f"expected {sorted(expected)}"
                )
        empty = [str(name) for name, size in dataset.sizes.items() if size == 0]
        if empty:
            raise ValueError(f"{called} has no {', '.join(empty)}, expected at least one")
        if self.rules is not None:
            self.rules(dataset, called)


def save(dataset: xr.Dataset, path: Path | str, schema: Schema) -> None:
    """Write a data set as netCDF-4 with checksums, whole or not at all.

    Raises:
        ValueError: it is not of the schema's form, or has an attribute that no file can hold.
        OSError: the folder cannot be written or the disk is full.
    """
    schema.check(dataset)
    encoding = {
        str(name): {"zlib": True, "complevel": 4, "fletcher32": True}
        for name, variable in dataset.data_vars.items()
        if variable.dtype.kind in "fiu" and variable.ndim
    }
    stored = dataset.copy()
    for owner in _owners(stored):
        owner.attrs = _stored(owner.attrs)
    with atomic(path) as temporary:
        try:
            stored.to_netcdf(temporary, engine="netcdf4", encoding=encoding)
        except RuntimeError as error:  # what HDF5 says of a disk that it cannot write
            raise OSError(str(error)) from error


def load(path: Path | str, schema: Schema) -> xr.Dataset:
    """Read what `save` wrote, into memory.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, cut short, not of the schema's form, or holds more than
            the memory limit.
    """
    called = f"{schema.name} {path}"
    if not Path(path).is_file():
        raise FileNotFoundError(f"{called} does not exist")
    try:
        nbytes = _unpacked(path)
    except Exception as error:  # a parser of foreign bytes
        raise ValueError(f"{called} is damaged or not netCDF: {error}") from error
    check_memory(called, nbytes)
    try:
        dataset = xr.load_dataset(path, engine="netcdf4")
    except Exception as error:
        raise ValueError(f"{called} is damaged or not netCDF: {error}") from error
    for owner in _owners(dataset):
        owner.attrs = _read(owner.attrs, called)
    try:
        schema.check(dataset, called)
    except (TypeError, OverflowError) as error:  # text where numbers are compared
        raise ValueError(f"{called} holds values of another kind: {error}") from error
    return dataset


def _unpacked(path: Path | str) -> int:
    """Bytes of what a file holds, in memory."""
    import netCDF4

    with netCDF4.Dataset(path) as file:
        return sum(
            math.prod(variable.shape) * getattr(variable.dtype, "itemsize", _TEXT)
            for variable in file.variables.values()
        )


_TEXT = 64
"""Bytes that a text takes, about: netCDF does not tell."""


def _owners(dataset: xr.Dataset) -> list[xr.Dataset | xr.Variable]:
    """Everything that has attributes."""
    return [dataset, *dataset.variables.values()]


AS_JSON = "as_json"
"""The attribute that names those stored as JSON."""


def _stored(attributes: Mapping[Any, Any]) -> dict[Any, Any]:
    """Attributes as netCDF can hold them."""
    as_json = {
        name: value
        for name, value in attributes.items()
        if not isinstance(value, str | int | float | np.ndarray | np.integer | np.floating)
        or isinstance(value, bool)
    }
    try:
        texts = {name: json.dumps(value) for name, value in as_json.items()}
    except (TypeError, ValueError) as error:
        raise ValueError(f"attributes hold what no file can: {error}") from error
    marked = {AS_JSON: ",".join(as_json)} if as_json else {}
    return {**attributes, **texts, **marked}


def _read(attributes: Mapping[Any, Any], name: str) -> dict[Any, Any]:
    """What `_stored` was given."""
    known = dict(attributes)
    try:
        for each in filter(None, str(known.pop(AS_JSON, "")).split(",")):
            known[each] = json.loads(known[each])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{name} is damaged: attribute {each} is no JSON") from error
    return known
