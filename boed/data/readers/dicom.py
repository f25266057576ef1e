"""One DICOM file as the picture that it is meant to be looked at as."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boed.foundation.memory import check_memory

_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_OPTIONAL = ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "VOILUTFunction")
_TABLES = ("ModalityLUTSequence", "VOILUTSequence")
_FAR = 2.0**31
"""Beyond what any stored value can be; a look-up table ends long before."""


def read_dicom(file: Path) -> np.ndarray:
    """uint8 `[H, W, 1]` or `[H, W, 3]`, ready to look at (DICOM PS3.3 C.7.6.3, C.11).

    Grey values go through pydicom's modality and VOI transformations; where there is no VOI they
    span from the lowest to the highest that is no padding. Padding is black. An element that is
    there but empty counts as absent, as do look-up tables without data.

    Raises:
        ValueError: the file is no DICOM image of one frame, or an element of it cannot be used;
            the message names the file and the element.
    """
    with _in_our_words(file):
        return _read(file)


def _read(file: Path) -> np.ndarray:
    """See `read_dicom`; pydicom's warnings come out as they are."""
    import pydicom
    from pydicom.pixels import pixel_array

    with _said(f"{file} is not a readable DICOM file"):
        header = pydicom.dcmread(file)
        there = any(keyword in header for keyword in _PIXELS)
    if not there:
        raise ValueError(
            f"{file} is a DICOM file without pixels (no PixelData), or cut short; expected an image"
        )
    with _said(f"{file}: its DICOM pixels cannot be read"):
        frames = int(header.get("NumberOfFrames") or 1)
        samples = int(header.get("SamplesPerPixel") or 1)
        sides = (int(header.Rows), int(header.Columns), samples, frames)
    check_memory(f"{file}: {' x '.join(map(str, sides))} numbers", 8 * math.prod(sides))
    with _said(f"{file}: its DICOM pixels cannot be read"):
        stored = pixel_array(header)
        photometric = str(header.PhotometricInterpretation)
    if photometric in ("MONOCHROME1", "MONOCHROME2") and stored.ndim == 2 and stored.size:
        return _grey(stored, header, file, inverted=photometric == "MONOCHROME1")
    if stored.dtype == np.uint8 and stored.ndim == 3 and stored.shape[2] == 3:
        return stored
    raise ValueError(
        f"{file} is a DICOM file of {photometric} {stored.dtype} {list(stored.shape)}; "
        "expected one grey or 8-bit colour image"
    )


def dicom_size(file: Path) -> tuple[int, int]:
    """Width and height in pixels, from the header alone.

    Raises:
        ValueError: it cannot be read, or does not say.
    """
    import pydicom

    with _said(f"{file} is not a readable DICOM file"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # who reads the pixels is told
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
        return int(header.Columns), int(header.Rows)


def says_what_is_white(file: Path) -> bool:
    """Whether a file has colour, a window or a VOI LUT; its grey is stretched if not.

    Raises:
        ValueError: it cannot be read.
    """
    import pydicom

    with _said(f"{file} is not a readable DICOM file"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # who reads the pixels is told
        header = pydicom.dcmread(file, stop_before_pixels=True)
        _without_empty(header)
        colour = int(header.get("SamplesPerPixel") or 1) > 1
    window = "WindowCenter" in header and "WindowWidth" in header
    return colour or window or "VOILUTSequence" in header


@contextmanager
def _in_our_words(file: Path) -> Iterator[None]:
    """Make one warning that names the file of all those that pydicom has about it."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield
    if said:
        first = " ".join(str(said[0].message).split())
        others = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
        warnings.warn(f"{file} is not quite as DICOM asks: {first}{others}", stacklevel=4)


@contextmanager
def _said(what: str) -> Iterator[None]:
    """Turn whatever pydicom raises into a ValueError that begins with `what`."""
    try:
        yield
    except Exception as error:  # its parser and each of its decoders raise kinds of their own
        reason = str(error) or type(error).__name__
        raise ValueError(f"{what} ({reason})") from error


def _grey(stored: NDArray[Any], header: Any, file: Path, *, inverted: bool) -> NDArray[np.uint8]:
    """Stored values as grey, `[H, W, 1]`."""
    from pydicom.pixels import apply_modality_lut

    with _said(f"{file}: {', '.join((*_OPTIONAL, *_TABLES))} cannot be read"):
        _without_empty(header)
    with _said(f"{file}: PixelPaddingValue cannot be used"):
        padding = _padding(stored, header)
    if padding.all():
        raise ValueError(f"{file}: all pixels are PixelPaddingValue, expected a picture")
    lut = "ModalityLUTSequence" in header
    elements = "ModalityLUTSequence" if lut else "RescaleSlope, RescaleIntercept"
    with _said(f"{file}: {elements} cannot be used"), np.errstate(over="ignore", invalid="ignore"):
        values = np.asarray(apply_modality_lut(stored, header), np.float64)
    if not np.isfinite(values).all():
        given = f"{header.get('RescaleSlope')}, {header.get('RescaleIntercept')}"
        raise ValueError(
            f"{file}: RescaleSlope, RescaleIntercept ({given}) or the pixels give values that are "
            "infinite or NaN; expected finite ones"
        )
    shown, element = _values_of_interest(values, padding, header, file)
    pixels = stored[~padding]
    if shown[~padding].min() == shown[~padding].max() and pixels.min() < pixels.max():
        raise ValueError(
            f"{file}: {element} shows nothing of its pixels: all come out the same, though they "
            f"span {pixels.min()} to {pixels.max()}"
        )
    grey = np.rint(255 * (1 - shown if inverted else shown)).astype(np.uint8)
    grey[padding] = 0
    return grey[..., None]


def _without_empty(header: Any) -> None:
    """Take elements away that say nothing, and fill in the half of a pair that does."""
    for keyword in _OPTIONAL:
        if keyword in header and (header[keyword].is_empty or header[keyword].value is None):
            del header[keyword]
    for keyword in _TABLES:
        items = header.get(keyword)
        if keyword in header and not (
            items and items[0].get("LUTDescriptor") and items[0].get("LUTData")
        ):
            del header[keyword]
    if "RescaleSlope" in header and "RescaleIntercept" not in header:
        header.RescaleIntercept = 0
    if "RescaleIntercept" in header and "RescaleSlope" not in header:
        header.RescaleSlope = 1


def _padding(stored: NDArray[Any], header: Any) -> NDArray[np.bool_]:
    """Which pixels are no part of the picture (PS3.3 C.7.5.1.1.2)."""
    value, limit = (header.get(f"PixelPadding{each}") for each in ("Value", "RangeLimit"))
    if value is None:
        return np.zeros(stored.shape, bool)
    low, high = sorted((int(value), int(value if limit is None else limit)))
    return (stored >= low) & (stored <= high)


def _values_of_interest(
    values: NDArray[np.float64], padding: NDArray[np.bool_], header: Any, file: Path
) -> tuple[NDArray[np.float64], str]:
    """Values in [0, 1], by LUT, by window, or from lowest to highest; and by which elements."""
    from pydicom.pixels import apply_voi, apply_windowing

    if "VOILUTSequence" in header:
        with _said(f"{file}: VOILUTSequence cannot be used"):
            bits = int(header.VOILUTSequence[0].LUTDescriptor[2])
            whole = np.rint(values.clip(-_FAR, _FAR)).astype(np.int64)
            return np.clip(apply_voi(whole, header) / (2**bits - 1), 0, 1), "VOILUTSequence"
    if "WindowCenter" in header and "WindowWidth" in header:
        given = f"{header.WindowCenter}, {header.WindowWidth}"
        element = f"WindowCenter, WindowWidth ({given})"
        with _said(f"{file}: {element} cannot be used"), np.errstate(over="ignore"):
            numbers = (*np.atleast_1d(header.WindowCenter), *np.atleast_1d(header.WindowWidth))
            if not np.isfinite(np.array(numbers, float)).all():
                raise ValueError("expected finite numbers")
            header.BitsStored, header.PixelRepresentation = 1, 0  # a window then spans 0 to 1
            for keyword in ("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"):
                if keyword in header:
                    del header[keyword]
            return apply_windowing(values, header).clip(0, 1), element
    low, high = values[~padding].min(), values[~padding].max()
    if not high > low:
        return np.zeros_like(values), "RescaleSlope, RescaleIntercept or ModalityLUTSequence"
    half = values / 2 - low / 2  # the difference of two finite numbers may be infinite
    return (half / (high / 2 - low / 2)).clip(0, 1), "RescaleSlope, RescaleIntercept"
