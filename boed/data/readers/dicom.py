"""One DICOM file as the picture that it is meant to be looked at as."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def read_dicom(file: Path) -> np.ndarray:
    """uint8 `[H, W, 1]` or `[H, W, 3]`, ready to look at (DICOM PS3.3 C.7.6.3, C.11)."""
    import pydicom
    from pydicom.pixels import apply_modality_lut, pixel_array

    try:
        header = pydicom.dcmread(file)
    except (OSError, ValueError, pydicom.errors.InvalidDicomError) as error:
        raise ValueError(f"{file} is not a readable DICOM file ({error})") from error
    if not {"PixelData", "FloatPixelData", "DoubleFloatPixelData"} & {
        element.keyword for element in header
    }:
        raise ValueError(f"{file} is a DICOM file without pixels (no PixelData); expected an image")
    try:
        stored = pixel_array(header)
        photometric = header.PhotometricInterpretation
        if photometric in ("MONOCHROME1", "MONOCHROME2") and stored.ndim == 2:
            shown = _voi(np.asarray(apply_modality_lut(stored, header), np.float64), header)
            grey = np.rint(255 * shown).astype(np.uint8)[..., None]
            return 255 - grey if photometric == "MONOCHROME1" else grey
    except Exception as error:  # each of pydicom's decoders raises kinds of its own
        raise ValueError(f"{file}: its DICOM pixels cannot be read ({error})") from error
    if stored.dtype == np.uint8 and stored.ndim == 3 and stored.shape[2] == 3:
        return stored
    raise ValueError(
        f"{file} is a DICOM file of {photometric} {stored.dtype} {list(stored.shape)}; "
        "expected one grey or 8-bit colour image"
    )


def _voi(values: np.ndarray, header: Any) -> np.ndarray:
    """Values of interest in [0, 1]: by LUT, by window, or from lowest to highest."""
    from pydicom.pixels import apply_voi

    if "VOILUTSequence" in header:
        bits = int(header.VOILUTSequence[0].LUTDescriptor[2])
        looked_up = apply_voi(np.rint(values).astype(np.int64), header, index=0)
        return np.clip(looked_up / (2**bits - 1), 0, 1)
    if "WindowCenter" in header and "WindowWidth" in header:
        return _window(
            values,
            float(np.atleast_1d(header.WindowCenter)[0]),
            float(np.atleast_1d(header.WindowWidth)[0]),
            header.get("VOILUTFunction") or "LINEAR",
        )
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _window(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """The three VOI LUT functions of DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3, scaled to [0, 1]."""
    if width <= 0 or (function == "LINEAR" and width < 1):
        raise ValueError(f"WindowWidth is {width}, expected at least 1")
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -500, 500)))
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    if width == 0:
        return (values > centre).astype(np.float64)
    return ((values - centre) / width + 0.5).clip(0, 1)
