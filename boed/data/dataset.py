"""A labelled set of images in memory: what every reader of this package returns."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from boed.data.observation import check_scenes
from boed.foundation.arguments import checked


@checked
@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset:
    """Images of one split with their labels.

    >>> images = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    >>> labels = torch.tensor([0, 1, 0, 1])
    >>> blank = Dataset(
    ...     name="blank", split="test", images=images, labels=labels, label_names=("no", "yes")
    ... )
    >>> len(blank), blank.scenes(slice(2)).shape, blank.multi_label
    (4, torch.Size([2, 1, 8, 8]), False)

    Attributes:
        name: what the set is called in reports.
        split: `train`, `val` or `test`.
        images: `[N, C, H, W]`, uint8, or float32 in [0, 1] where 256 levels are too few.
        labels: class indices `[N]` (single-label) or 0/1 findings `[N, L]` (multi-label), int64.
        label_names: the K class names, or the L names of the findings.
        patients: one id per image where known; intervals then resample patients.

    Raises:
        ValueError: shapes, types or the label range do not fit together.
    """

    name: str
    split: str
    images: Shaped[Tensor, "N C H W"]
    labels: Int64[Tensor, "N ..."]
    label_names: tuple[str, ...]
    patients: np.ndarray | None = None

    def __post_init__(self) -> None:
        where = f"{self.name} ({self.split})"
        kinds = (torch.uint8, torch.float32)
        if self.images.ndim != 4 or self.images.dtype not in kinds:
            raise ValueError(
                f"{where}: images must be uint8 or float32 [N, C, H, W], "
                f"got {self.images.dtype} {tuple(self.images.shape)}"
            )
        if self.images.is_floating_point() and len(self.images):
            check_scenes(self.images, f"{where}: images")
        if self.labels.dtype != torch.int64 or self.labels.ndim not in (1, 2):
            raise ValueError(
                f"{where}: labels must be int64 [N] or [N, L], "
                f"got {self.labels.dtype} {tuple(self.labels.shape)}"
            )
        if len(self.labels) != len(self.images):
            raise ValueError(f"{where}: {len(self.images)} images but {len(self.labels)} labels")
        if self.patients is not None and len(self.patients) != len(self.images):
            raise ValueError(f"{where}: {len(self.images)} images, {len(self.patients)} patients")
        if self.multi_label and self.labels.shape[1] != len(self.label_names):
            raise ValueError(
                f"{where}: {self.labels.shape[1]} label columns, {len(self.label_names)} names"
            )
        highest = 1 if self.multi_label else len(self.label_names) - 1
        if (
            len(self.labels)
            and not 0 <= int(self.labels.min()) <= int(self.labels.max()) <= highest
        ):
            raise ValueError(
                f"{where}: labels span {int(self.labels.min())}..{int(self.labels.max())}, "
                f"expected 0..{highest}"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def multi_label(self) -> bool:
        """Whether several findings can hold at once."""
        return self.labels.ndim == 2

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
        """Checksum of images and labels as read, to say in reports exactly what was used."""
        digest = hashlib.sha256(self.images.numpy().tobytes())
        digest.update(self.labels.numpy().tobytes())
        return digest.hexdigest()

    @property
    def question(self) -> tuple[int, ...]:
        """The shape of a belief about one scene: `(K,)` of K classes, `(L, 2)` of L findings."""
        answers = len(self.label_names)
        return (answers, 2) if self.multi_label else (answers,)

    def check_question(self) -> None:
        """Refuse a set that asks nothing: of a single class, every belief is right.

        Raises:
            ValueError: saying how to label images.
        """
        if not self.multi_label and len(self.label_names) < 2:
            raise ValueError(
                f"{self.name} ({self.split}): all images are of one class, "
                f"{', '.join(self.label_names)!r}, so there is nothing to ask; label them by a "
                "labels.csv with columns file and label, or by a subfolder for each class"
            )

    def absent_answers(self) -> list[str]:
        """The answers that no AUROC can be of: classes or findings of none of the scenes, or all.

        >>> labels = torch.tensor([0, 0, 2])
        >>> images = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
        >>> pets = Dataset(
        ...     name="pets", split="val", images=images, labels=labels,
        ...     label_names=("cat", "dog", "eel"),
        ... )
        >>> pets.absent_answers()
        ['dog']
        """
        answers = torch.arange(len(self.label_names))
        present = self.labels if self.multi_label else self.labels[:, None] == answers
        share = present.float().mean(0)
        return [self.label_names[row] for row in answers if share[row] in (0, 1)]

    def scenes(self, index: slice | Tensor | list[int] | None = None) -> Float[Tensor, "B C H W"]:
        """Images as floats in [0, 1]."""
        images = self.images if index is None else self.images[index]
        return images if images.is_floating_point() else images.float() / 255

    def subset(self, index: Tensor | list[int] | np.ndarray) -> Dataset:
        """The images at `index`, in that order."""
        rows = torch.as_tensor(np.asarray(index))
        patients = None if self.patients is None else self.patients[rows.numpy()]
        return replace(self, images=self.images[rows], labels=self.labels[rows], patients=patients)


def not_whole(path: Path, what: str) -> ValueError:
    """The error that says why images of which a part was seen are not read as whole scenes.

    Args:
        path: of the data set.
        what: what it holds, such as logs of sessions.
    """
    return ValueError(
        f"data set is '{path}', {what}, of whose scenes no more is known than what was seen; "
        "completers are trained on them with `--from observations`"
    )
