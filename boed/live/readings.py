"""Readings from elsewhere: lists and base64 of a message, and files; nothing is executed."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boed.data.readers.dicom import says_what_is_white
from boed.data.readers.image import picture_size, read_pixels
from boed.foundation.npz import read_array

ENDINGS = (".npy", ".png", ".dcm")
"""Of files that hold a reading."""


def decoded(reading: Sequence[Any] | str, shape: Sequence[int] | None = None) -> NDArray[Any]:
    """The reading of a message.

    >>> decoded([[0, 0.5]])
    array([[0. , 0.5]])
    >>> decoded("AAAAPwAAgD8=", [1, 2])
    array([[0.5, 1. ]], dtype=float32)

    Args:
        reading: nested lists of numbers, or base64 of little-endian float32, row by row.
        shape: of what is given as base64.

    Raises:
        ValueError: it cannot be read so.
    """
    if not isinstance(reading, str):
        try:
            given = np.asarray(reading)
        except ValueError as error:
            raise ValueError(
                f"reading is {type(reading).__name__}, expected nested lists of numbers: {error}"
            ) from error
        if given.dtype.kind not in "iuf":  # text, booleans, null and objects among them
            raise ValueError(
                f"reading is a list of {given.dtype}, expected nested lists of numbers"
            )
        return given.astype(np.float64)
    if shape is None or not all(isinstance(side, int) and side > 0 for side in shape):
        raise ValueError(f"shape is {shape}, expected the sides of what is given as base64")
    try:
        data = base64.b64decode(reading, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"reading is text that is no base64: {error}") from error
    if len(data) != 4 * math.prod(shape):
        raise ValueError(
            f"reading has {len(data)} bytes, expected {4 * math.prod(shape)}: float32 of shape "
            f"{list(shape)}"
        )
    return np.frombuffer(data, "<f4").reshape(tuple(shape)).copy()


def from_file(path: Path, shape: Sequence[int]) -> NDArray[Any]:
    """The reading that a file holds: `.npy` of any shape, PNG or DICOM of `[C, h, w]`.

    Pixels of 8 bits are divided by 255, those of 16 bits by 65535. A grey DICOM file needs a window
    or a VOI LUT that says what is black and what is white, the same for all looks.

    Args:
        path: the file; its content says what it is, not its name.
        shape: of the reading that is waited for.

    Raises:
        ValueError: it holds no reading, or one of another shape; pixels are decoded only if their
            number is right.
    """
    with path.open("rb") as file:
        begin = file.read(132)
    if begin.startswith(b"\x93NUMPY"):
        return read_array(path)
    if not begin.startswith(b"\x89PNG\r\n\x1a\n") and begin[128:] != b"DICM":
        raise ValueError(f"{path.name} is none of {', '.join(ENDINGS)} by its content")
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise ValueError(f"{path.name} is a picture, expected .npy of shape {list(shape)}")
    channels, height, width = shape
    sides = picture_size(path)
    if sides != (width, height):
        raise ValueError(
            f"{path.name} is {sides[0]} x {sides[1]} pixels (width x height), expected {width} x "
            f"{height}: the look's own"
        )
    if begin[128:] == b"DICM" and not says_what_is_white(path):
        raise ValueError(
            f"{path.name} has no window, so what is black and white would differ by look; expected "
            "WindowCenter and WindowWidth, the same for all looks"
        )
    pixels = read_pixels(path, channels).transpose(2, 0, 1)
    return (pixels / np.float32(255)).astype(np.float32)
