"""Images of which no more is known than what was seen of them, once and for good."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from boed.data.dataset import Dataset
from boed.data.masks import check_masks, named
from boed.data.observation import Observation, check_scenes
from boed.foundation.arguments import checked
from boed.foundation.randomness import derive


@checked
@dataclass(frozen=True, eq=False, kw_only=True)
class Incomplete:
    """Partly seen images of one split, each under one mask that never changes.

    Hidden pixels are not kept: whatever they are, NaN included, two sets whose seen pixels are the
    same are the same, checksum included.

    >>> images = torch.tensor([[[[0.5, torch.nan]]]])
    >>> half = Incomplete(
    ...     name="half", split="train", images=images, masks=torch.tensor([[[[1, 0]]]])
    ... )
    >>> half.observation([0]).values
    tensor([[[[0.5000, 0.0000]]]])

    Attributes:
        name: what the set is called.
        split: `train`, `val` or `test`.
        images: `[N, C, H, W]`, uint8, or float32 in [0, 1] where seen; zero where hidden.
        masks: 1 where a pixel was seen, in all channels, 0 elsewhere, `[N, 1, H, W]`; uint8.
        hidden_by: masks by name that whole images were hidden by; None if masks came with them.

    Raises:
        ValueError: shapes or types do not fit together, masks hold anything but 0 and 1, a seen
            pixel is NaN or not in [0, 1], or nothing is seen of an image.
    """

    name: str
    split: str
    images: Shaped[Tensor, "N C H W"]
    masks: Shaped[Tensor, "N 1 H W"]
    hidden_by: str | None = None

    def __post_init__(self) -> None:
        where, images, masks = f"{self.name} ({self.split})", self.images, self.masks
        if images.ndim != 4 or images.dtype not in (torch.uint8, torch.float32) or not len(images):
            raise ValueError(
                f"{where}: images must be uint8 or float32 [N, C, H, W], at least one, "
                f"got {images.dtype} {tuple(images.shape)}"
            )
        expected = (len(images), 1, *images.shape[-2:])
        if masks.shape != expected:
            raise ValueError(
                f"{where}: masks must be {expected} to go with images {tuple(images.shape)}, "
                f"got {tuple(masks.shape)}"
            )
        wrong = (masks != 0) & (masks != 1)
        if wrong.any():
            raise ValueError(
                f"{where}: masks hold {masks[wrong][0].item():g}; expected 1 where a pixel was "
                "seen and 0 where it was not"
            )
        unseen = (masks == 0).flatten(1).all(1).nonzero().flatten().tolist()
        if unseen:
            raise ValueError(
                f"{where}: nothing is seen of {len(unseen)} of {len(images)} images, such as row "
                f"{unseen[0]}; leave them out, for there is nothing to learn from"
            )
        seen = torch.where(masks == 1, images, torch.zeros_like(images))
        if seen.is_floating_point():
            check_scenes(seen, f"{where}: what is seen of images")
        object.__setattr__(self, "images", seen)
        object.__setattr__(self, "masks", masks.to(torch.uint8))

    @classmethod
    def hidden(cls, dataset: Dataset, masks: str, seed: int) -> Self:
        """Whole images, each hidden by a mask of its own, but those of which nothing is seen.

        Args:
            dataset: of square images.
            masks: as `boed.data.masks.named` takes them. That of a row is drawn from the data's
                checksum, `seed` and the row.
            seed: of the masks.

        Raises:
            ValueError: as `named` says, or nothing is seen of any image.
        """
        check_masks(masks, dataset.size)
        draw, sha256 = named(masks), dataset.sha256
        drawn = []
        for row in range(len(dataset)):
            generator = torch.Generator().manual_seed(derive(sha256, "mask", seed, row))
            drawn.append(draw(1, dataset.size, generator=generator).to(torch.uint8))
        all_masks = torch.cat(drawn)
        rows = all_masks.flatten(1).any(1).nonzero().flatten()
        if not len(rows):
            raise ValueError(f"masks {masks}: nothing is seen of any image of {dataset.name}")
        return cls(
            name=dataset.name,
            split=dataset.split,
            images=dataset.images[rows],
            masks=all_masks[rows],
            hidden_by=masks,
        )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def channels(self) -> int:
        return self.images.shape[1]

    @property
    def size(self) -> int:
        """Image width in pixels."""
        return self.images.shape[-1]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the images in pixels."""
        return self.images.shape[-2], self.images.shape[-1]

    @property
    def sha256(self) -> str:
        """Checksum of what is seen, and of where."""
        digest = hashlib.sha256(self.images.numpy().tobytes())
        digest.update(self.masks.numpy().tobytes())
        return digest.hexdigest()

    def observation(self, rows: slice | Tensor | list[int] | None = None) -> Observation:
        """What is seen of some images, or of all; the same whenever it is asked for."""
        index = slice(None) if rows is None else rows
        images, masks = self.images[index], self.masks[index].float()
        return Observation(images if images.is_floating_point() else images.float() / 255, masks)

    def pixels(self) -> Float[Tensor, " P"]:
        """The values in [0, 1] that were seen, of all images and channels in a row."""
        seen = self.images[(self.masks == 1).expand_as(self.images)]
        return seen if seen.is_floating_point() else seen.float() / 255
