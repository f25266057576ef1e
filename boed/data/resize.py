"""Images to another width: means of whole blocks when that fits, Lanczos when it does not."""

from __future__ import annotations

import numpy as np

from boed.foundation.checks import at_least
from boed.foundation.memory import check_memory


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """Square images resized to `size` x `size` pixels.

    Shrinking by a whole factor takes the exact mean of each block (rounded half up); every other
    ratio uses Pillow's Lanczos filter, which widens with the ratio and so does not alias.

    Args:
        images: uint8 `[N, H, W, C]` with H = W.
        size: new width in pixels.

    Raises:
        ValueError: images that are not square uint8, a size below one pixel, or one that needs
            more memory than the limit.
    """
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[1] != images.shape[2]:
        raise ValueError(
            f"images must be uint8 [N, H, W, C] with H = W, got {images.dtype} {images.shape}"
        )
    at_least(1, size=size)
    number, width, _, channels = images.shape
    if size == width:
        return images
    check_memory(
        f"size {size}: {number} images of {size} x {size} pixels", 1.0 * number * channels * size**2
    )
    if width % size == 0:
        factor = width // size
        resized = np.empty((number, size, size, channels), np.uint8)
        for start in range(0, number, 512):  # sums of uint8 need room: 512 images at a time
            part = images[start : start + 512]
            blocks = part.reshape(len(part), size, factor, size, factor, channels)
            total = blocks.sum((2, 4), dtype=np.uint32)
            resized[start : start + 512] = (total + factor**2 // 2) // factor**2
        return resized
    return (
        np.stack([_lanczos(image, size) for image in images])
        if number
        else np.empty((0, size, size, channels), np.uint8)
    )


def _lanczos(image: np.ndarray, size: int) -> np.ndarray:
    from PIL import Image

    planes = [
        Image.fromarray(np.ascontiguousarray(image[..., channel])).resize(
            (size, size), Image.Resampling.LANCZOS
        )
        for channel in range(image.shape[-1])
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def centre_square(images: np.ndarray, pad: bool = False) -> np.ndarray:
    """Images `[N, H, W, C]` cut to their centre square, or with `pad` made square with black."""
    _, height, width, _ = images.shape
    if not pad:
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return images[:, top : top + side, left : left + side]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    around = ((0, 0), (top, side - height - top), (left, side - width - left), (0, 0))
    return np.pad(images, around)
