"""One picture from a PNG, JPEG or DICOM file, as the square uint8 image that a Dataset holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from boed.data.readers.dicom import read_dicom
from boed.data.resize import centre_square, resize

SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")


def read_image(
    path: str | Path, size: int | None = None, channels: int = 1, *, pad: bool = False
) -> UInt8[Tensor, "C H W"]:
    """A picture as uint8, square and resized.

    16-bit pictures keep their full range (65535 becomes 255). DICOM files go through the modality
    LUT or rescale slope and intercept, then the first VOI LUT or window, or from the lowest to the
    highest value where they have neither; MONOCHROME1 is inverted, so bright is always dense.

    Args:
        path: the file. DICOM is recognised by content, whatever the name.
        size: width in pixels; the native one if not given.
        channels: 1 turns colour into grey, 3 keeps colour (grey is repeated).
        pad: add black borders to make it square, rather than cut to the centre square.

    Raises:
        ValueError: the file is missing, unreadable or has no pixels. The message names it.
    """
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 or 3, got {channels}")
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"{file} does not exist or is not a file")
    dicom = file.suffix.lower() in (".dcm", ".dicom") or _has_dicom_preamble(file)
    pixels = read_dicom(file) if dicom else _picture(file)
    if pixels.shape[2] != channels:
        pixels = _grey(pixels) if channels == 1 else pixels.repeat(3, axis=2)
    square = centre_square(pixels[None], pad)
    image = square if size is None else resize(square, size)
    return torch.from_numpy(np.array(image[0].transpose(2, 0, 1), order="C"))


def _has_dicom_preamble(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(132)[128:] == b"DICM"


def _picture(file: Path) -> np.ndarray:
    """uint8 `[H, W, 1]` or `[H, W, 3]` of anything Pillow reads."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            picture = ImageOps.exif_transpose(opened)
            if picture.mode.startswith("I"):  # 16 bits of grey
                values = np.asarray(picture).astype(np.int64)
                return ((values * 255 + 32767) // 65535).clip(0, 255).astype(np.uint8)[..., None]
            grey = picture.mode in ("1", "L", "LA")
            pixels = np.asarray(picture.convert("L" if grey else "RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{file} is not a readable image ({error}); expected PNG, JPEG or DICOM"
        ) from error
    return pixels[..., None] if grey else pixels


def _grey(pixels: np.ndarray) -> np.ndarray:
    """Luma (ITU-R BT.601) of colour, `[H, W, 3]` to `[H, W, 1]`, as Pillow computes it."""
    from PIL import Image

    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))[..., None]
