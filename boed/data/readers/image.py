"""One PNG, JPEG, TIFF or DICOM file as the square uint8 image that a Dataset holds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from boed.data.readers.dicom import dicom_size, read_dicom
from boed.data.resize import centre_square, resize
from boed.foundation.memory import check_memory

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom")


def read_image(
    path: str | Path, size: int | None = None, channels: int = 1, *, pad: bool = False
) -> UInt8[Tensor, "C H W"]:
    """A picture as uint8, square and resized.

    A picture with an alpha channel is taken as it is where none of its pixels is transparent.
    16-bit pictures keep their full range (65535 becomes 255), with a warning where they use 12 bits
    of it or less; floats are 0 to 1. DICOM files go through the modality LUT or rescale slope and
    intercept, then the first VOI LUT or window, or from the lowest to the highest value where they
    have neither; MONOCHROME1 is inverted, so bright is always dense.

    Args:
        path: the file. DICOM is recognised by content, whatever the name.
        size: width in pixels; the native one if not given.
        channels: 1 turns colour into grey, 3 keeps colour (grey is repeated).
        pad: add black borders to make it square, rather than cut to the centre square.

    Raises:
        ValueError: the file is missing, unreadable or has no pixels, more than one picture,
            transparent pixels, or values out of range. The message names it.
    """
    if size is not None:
        check_memory(f"size {size}: a picture of {size} x {size} pixels", 4.0 * channels * size**2)
    pixels = read_pixels(path, channels)
    square = centre_square(pixels[None], pad)
    image = square if size is None else resize(square, size)
    return torch.from_numpy(np.array(image[0].transpose(2, 0, 1), order="C"))


def read_pixels(path: str | Path, channels: int = 1) -> NDArray[np.uint8]:
    """All pixels of a picture as uint8, `[H, W, C]`, neither cut nor resized; see `read_image`.

    Raises:
        ValueError: as `read_image`.
    """
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 or 3, got {channels}")
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"{file} does not exist or is not a file")
    pixels = read_dicom(file) if _is_dicom(file) else _picture(file)
    if pixels.shape[2] == channels:
        return pixels
    return _grey(pixels) if channels == 1 else pixels.repeat(3, axis=2)


def picture_size(path: str | Path) -> tuple[int, int]:
    """Width and height of a picture in pixels, from its header alone.

    Raises:
        ValueError: its header cannot be read. The message names it.
    """
    file = Path(path)
    if _is_dicom(file):
        return dicom_size(file)
    from PIL import Image, ImageOps

    with _readable(file), Image.open(file) as opened:
        turned = opened.getexif().get(ImageOps.ExifTags.Base.Orientation, 1) >= 5
        width, height = opened.size
    return (height, width) if turned else (width, height)


def _is_dicom(file: Path) -> bool:
    """By name, or by what the file begins with."""
    if file.suffix.lower() in (".dcm", ".dicom"):
        return True
    with file.open("rb") as opened:
        return opened.read(132)[128:] == b"DICM"


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Turn whatever Pillow raises into a ValueError that names the file."""
    try:
        yield
    except Exception as error:  # its decoders raise kinds of their own
        raise ValueError(
            f"{file} is not a readable image ({error}); expected PNG, JPEG, TIFF or DICOM"
        ) from error


def _picture(file: Path) -> np.ndarray:
    """uint8 `[H, W, 1]` or `[H, W, 3]` of anything Pillow reads."""
    from PIL import Image, ImageOps

    with _readable(file), Image.open(file) as opened:
        number = 1 if opened.format == "MPO" else getattr(opened, "n_frames", 1)
        picture = ImageOps.exif_transpose(opened)
        mode = picture.mode
        deep = mode.startswith(("I", "F"))  # more than 8 bits of grey
        grey = deep or mode in ("1", "L", "LA")
        alpha = None
        if not deep and picture.has_transparency_data:
            alpha = np.asarray(picture.convert("RGBA").getchannel("A"))
        pixels = np.asarray(picture if deep else picture.convert("L" if grey else "RGB"))
    if number > 1:
        raise ValueError(
            f"{file} holds {number} pictures, as frames or pages; expected one: store each as a "
            "file of its own"
        )
    if alpha is not None and alpha.min() < 255:
        raise ValueError(
            f"{file} has transparent pixels, {np.mean(alpha < 255):.1%} of them, and what is "
            "behind them is not known; put it onto a background first, such as black: magick "
            f"{file.name} -background black -flatten flat.png"
        )
    if deep:
        pixels = _eight_bits(pixels, file)
    return pixels[..., None] if grey else pixels


def _eight_bits(values: np.ndarray, file: Path) -> np.ndarray:
    """Grey of 16 bits, or of floats in [0, 1], as uint8."""
    low, high = values.min(), values.max()
    if values.dtype.kind == "f":
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"{file} holds floats from {low:g} to {high:g}, expected 0 for black to 1 for white"
            )
        return np.rint(values * 255).astype(np.uint8)
    if low < 0 or high > 65535:
        raise ValueError(
            f"{file} holds whole numbers from {low} to {high}, expected 16 bits: 0 for black to "
            "65535 for white"
        )
    if 0 < high < 4096:
        warnings.warn(
            f"{file} has 16 bits of grey but holds no more than {high}, as of 12 bits or less; "
            "65535 is taken as white, so it is almost black: scale its values to 0..65535",
            stacklevel=2,
        )
    return ((values.astype(np.int64) * 255 + 32767) // 65535).astype(np.uint8)


def _grey(pixels: np.ndarray) -> np.ndarray:
    """Luma (ITU-R BT.601) of colour, `[H, W, 3]` to `[H, W, 1]`, as Pillow computes it."""
    from PIL import Image

    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))[..., None]
