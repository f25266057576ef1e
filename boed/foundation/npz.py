"""Arrays from files that anybody may have written: nothing is executed, no memory taken unasked."""

from __future__ import annotations

import math
import sys
import zipfile
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from boed.foundation.memory import check_memory

_MAGIC = b"\x93NUMPY"


class Arrays:
    """The arrays of an npz file, each read when it is asked for.

    Attributes:
        path: of the file.
        names: of its arrays.

    Raises:
        ValueError: whatever is wrong with the file or an array of it: missing, damaged, encrypted,
            of Python objects, or larger than the memory limit. The message names both.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise ValueError(f"{self.path} does not exist or is not a file")
        try:
            with self.path.open("rb") as file:
                single = file.read(len(_MAGIC)) == _MAGIC
            if not single:
                self._zip = zipfile.ZipFile(self.path)
        except Exception as error:  # a damaged directory raises many kinds
            raise ValueError(
                f"{self.path} is truncated or is not an npz file ({error}); copy it again"
            ) from error
        if single:
            raise ValueError(f"{self.path} holds a single array; expected an npz file")
        self.names = [name.removesuffix(".npy") for name in self._zip.namelist()]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> NDArray[Any]:
        what = f"{self.path}: {name!r}"
        if name not in self:
            raise ValueError(f"{what} is not there, found {', '.join(self.names) or 'nothing'}")
        try:
            with self._zip.open(f"{name}.npy") as member:
                shape, dtype = _header(member)
        except Exception as error:
            raise ValueError(f"{what} is damaged ({error}); copy it again") from error
        _check(what, shape, dtype)
        try:
            with self._zip.open(f"{name}.npy") as member:
                return _read(member)
        except Exception as error:
            raise ValueError(f"{what} is damaged ({error}); copy it again") from error


def read_array(path: Path | str) -> NDArray[Any]:
    """The array of an `.npy` file.

    Raises:
        ValueError: whatever is wrong with it, as of `Arrays`.
    """
    try:
        with open(path, "rb") as file:
            shape, dtype = _header(file)
    except Exception as error:
        raise ValueError(f"{path} cannot be read as .npy ({error})") from error
    _check(str(path), shape, dtype)
    try:
        with open(path, "rb") as file:
            return _read(file)
    except Exception as error:
        raise ValueError(f"{path} cannot be read as .npy ({error})") from error


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the array that begins here."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    return shape, dtype


def _read(file: IO[bytes]) -> NDArray[Any]:
    """The array that begins here; numpy itself makes strings of what are no characters."""
    array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    if array.dtype.kind == "U" and array.dtype.itemsize:
        codes = np.ascontiguousarray(array).view(array.dtype.byteorder + "u4")
        if ((codes > sys.maxunicode) | ((codes >= 0xD800) & (codes < 0xE000))).any():
            raise ValueError("characters that Unicode does not have")
    return array


def _check(what: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if dtype.hasobject or dtype.names:
        kind = f"records of {', '.join(dtype.names)}" if dtype.names else "Python objects"
        raise ValueError(f"{what} holds {kind}, expected numbers or text")
    check_memory(f"{what}, {dtype} {list(shape)},", math.prod(shape) * dtype.itemsize)
