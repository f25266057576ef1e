"""Mask distributions by name: which pixels of a scene are seen.

All draw `[B, 1, H, W]` floats, 1 where a pixel is seen, of square scenes `size` pixels wide.
"""

from boed.data.masks.areas import (
    bottom,
    centre_hole,
    centre_seen,
    edge,
    half,
    left,
    patches,
    rectangle,
    right,
    top,
)
from boed.data.masks.blobs import blobs
from boed.data.masks.names import MASKS, check_masks, named, read_masks
from boed.data.masks.scattered_pixels import dropped, pattern, scattered
from boed.data.masks.squares_and_holes import holes, squares

__all__ = [
    "MASKS",
    "blobs",
    "bottom",
    "centre_hole",
    "centre_seen",
    "check_masks",
    "dropped",
    "edge",
    "half",
    "holes",
    "left",
    "named",
    "patches",
    "pattern",
    "read_masks",
    "rectangle",
    "right",
    "scattered",
    "squares",
    "top",
]
