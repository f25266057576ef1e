"""Partly seen images with their masks: an npz file, masks beside pictures, or logs of sessions.

In an npz file `{split}_images` is as of `boed.data.readers.npz`, or floats in [0, 1] where seen,
and `{split}_masks`, `[N, H, W]` or `[N, H, W, 1]`, is 1 where a pixel was seen and 0 elsewhere;
labels are not needed. In a folder, which is read as by `boed.data.readers.folder`, the mask of
`NAME.png` or `NAME.dcm` is the picture `NAME.mask.png` beside it, white (255) where a pixel was
seen and black (0) elsewhere.
`boed.data.readers.sessions` reads a folder of logs of sessions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from boed.data.incomplete import Incomplete
from boed.data.readers.folder import mask_of, pictures_of
from boed.data.readers.image import picture_size, read_image
from boed.data.readers.npz import images_with_masks
from boed.data.readers.sessions import holds_sessions, read_sessions


def read_incomplete(path: Path | str, split: str = "train") -> Incomplete | None:
    """One split of images with masks of their own; None if they have none.

    Args:
        path: an npz file, a folder of images of one size, or one of logs of sessions; anything
            else has no masks.
        split: `train`, `val` or `test`.

    Raises:
        ValueError: as `Incomplete` does, some pictures have a mask and others have none, or a mask
            is of another size or neither black nor white. The message names file and split.
    """
    place = Path(path)
    if place.is_dir():
        found = read_sessions(place, split) if holds_sessions(place) else _of_folder(place, split)
    elif place.is_file() and place.suffix == ".npz":
        found = _of_npz(place, split)
    else:
        return None
    if found is None:
        return None
    images, masks = found
    return Incomplete(name=place.resolve().name, split=split, images=images, masks=masks)


def _of_npz(path: Path, split: str) -> tuple[Tensor, Tensor] | None:
    """Images `[N, C, H, W]` and what stands as their masks."""
    found = images_with_masks(path, split)
    if found is None:
        return None
    images, masks = found
    if masks.ndim == 4 and masks.shape[3] == 1:
        masks = masks[..., 0]
    if masks.dtype.kind not in "buif":
        raise ValueError(f"{path}: {split}_masks is {masks.dtype}, expected numbers 0 and 1")
    known = np.ascontiguousarray(masks.astype(np.float32 if masks.dtype.kind == "f" else np.int64))
    arranged = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    as_tensor = torch.from_numpy(known)
    return torch.from_numpy(arranged), as_tensor[:, None] if known.ndim == 3 else as_tensor


def _of_folder(folder: Path, split: str) -> tuple[Tensor, Tensor] | None:
    """Images and masks of the pictures that `read_folder` reads, in its order."""
    pictures = pictures_of(folder, split)
    lacking = [file for file in pictures if not mask_of(file).is_file()]
    if len(lacking) == len(pictures):
        return None
    if lacking:
        raise ValueError(
            f"{folder} ({split}): {len(lacking)} of {len(pictures)} pictures have no mask, such as "
            f"{lacking[0]}; expected {mask_of(lacking[0]).name} beside it"
        )
    images, masks = [], []
    for file in pictures:
        mask, expected = mask_of(file), picture_size(file)
        if picture_size(mask) != expected or expected != picture_size(pictures[0]):
            raise ValueError(
                f"{mask} is {_size(mask)} pixels, {file} {_size(file)} and {pictures[0]} "
                f"{_size(pictures[0])}; expected pictures of one size and masks of the same"
            )
        values = read_image(mask)
        if ((values != 0) & (values != 255)).any():
            raise ValueError(
                f"{mask} holds grey of {values[(values != 0) & (values != 255)][0]}; expected 255 "
                "where a pixel was seen and 0 elsewhere"
            )
        images.append(read_image(file))
        masks.append(values // 255)
    return torch.stack(images), torch.stack(masks)


def _size(picture: Path) -> str:
    return " x ".join(map(str, picture_size(picture)))
