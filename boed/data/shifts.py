"""Scenes as another device, hospital or file format would have shown them, at three strengths.

What a model says of shifted scenes tells how far it holds beyond the split that it was chosen on
(Hendrycks and Dietterich 2019 do this for photographs). Scenes are `[B, C, H, W]` in [0, 1]; which
way each is shifted (brighter or darker, left or right) is drawn for each.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from boed.data.dataset import Dataset
from boed.foundation.randomness import derive
from boed.foundation.registry import Registry, check_known
from boed.foundation.torchvision_compat import torchvision

STRENGTHS = (1, 2, 3)
"""Weak, middle and strong."""

MIDDLE = 2
"""The strength by which models are chosen."""

Change = Callable[[Float[Tensor, "C H W"], float, torch.Generator], Float[Tensor, "C H W"]]
"""One scene, how much, and what its random choices come from."""


@dataclass(frozen=True)
class Shift:
    """One kind of change.

    Attributes:
        change: what happens to a scene.
        amounts: of it, at each strength.
        unit: what the amounts are.
    """

    change: Change
    amounts: tuple[float, float, float]
    unit: str

    def __call__(
        self, scenes: Float[Tensor, "B C H W"], strength: int, *, seed: int = 0
    ) -> Float[Tensor, "B C H W"]:
        """The scenes after this shift; the same for the same seed.

        Raises:
            ValueError: a strength that is none of `STRENGTHS`.
        """
        if strength not in STRENGTHS:
            raise ValueError(f"strength is {strength}, expected one of 1, 2, 3")
        generator = torch.Generator().manual_seed(derive(seed, "shift", strength))
        amount = self.amounts[strength - 1]
        changed = torch.empty_like(scenes)
        for k, scene in enumerate(scenes.cpu()):
            changed[k] = self.change(scene, amount, generator).clamp(0, 1)
        return changed


def _sign(generator: torch.Generator) -> float:
    return 1.0 if torch.rand((), generator=generator) < 0.5 else -1.0


def _functional():  # type: ignore[no-untyped-def]
    return torchvision().transforms.functional


def _brightness(scene: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    return scene + _sign(generator) * amount


def _contrast(scene: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    return (scene - scene.mean()) * (1 + _sign(generator) * amount) + scene.mean()


def _gamma(scene: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    return scene ** math.exp(_sign(generator) * amount)


def _blur(scene: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    sigma = amount * scene.shape[-1]
    width = 2 * math.ceil(3 * sigma) + 1
    return _functional().gaussian_blur(scene, [width, width], [sigma, sigma])


def _noise(scene: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    return scene + amount * torch.randn(scene.shape, generator=generator)


def _moved(scene: Tensor, *, degrees: float = 0.0, scale: float = 1.0) -> Tensor:
    functional = _functional()
    margin = scene.shape[-1] // 3  # what comes in from outside goes on as the edge does
    padded = functional.pad(scene, [margin] * 4, padding_mode="edge")
    moved = functional.affine(
        padded,
        angle=degrees,
        translate=[0, 0],
        scale=scale,
        shear=[0.0, 0.0],
        interpolation=torchvision().transforms.InterpolationMode.BILINEAR,
    )
    return functional.center_crop(moved, list(scene.shape[-2:]))


def _rotation(scene: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    return _moved(scene, degrees=_sign(generator) * amount)


def _scale(scene: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    return _moved(scene, scale=1 + _sign(generator) * amount)


def _border(scene: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """A collimator's black frame; each side's width is its own, at most twice the mean."""
    height, width = scene.shape[-2:]
    sides = torch.rand(4, generator=generator) * 2 * amount
    top, bottom = (round(float(each) * height) for each in sides[:2])
    left, right = (round(float(each) * width) for each in sides[2:])
    framed = torch.zeros_like(scene)
    inside = (..., slice(top, height - bottom), slice(left, width - right))
    framed[inside] = scene[inside]
    return framed


def _marker(scene: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """The letter R or L, burnt in white near an upper corner."""
    from PIL import Image, ImageDraw, ImageFont

    letter = "R" if _sign(generator) > 0 else "L"
    width = scene.shape[-1]
    font = ImageFont.load_default(amount * width * 1.4)  # capitals are some 0.7 of it
    canvas = Image.new("L", (width, scene.shape[-2]))
    x = 0.04 if letter == "R" else 0.96 - amount
    y = 0.02 + 0.1 * float(torch.rand((), generator=generator))
    ImageDraw.Draw(canvas).text((x * width, y * width), letter, fill=255, font=font)
    ink = torch.from_numpy(np.asarray(canvas, dtype=np.float32) / 255)
    return torch.maximum(scene, ink)


def _compression(scene: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """Written as JPEG and read again."""
    from PIL import Image

    pixels = (scene.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    grey = pixels.shape[-1] != 3
    layers = [pixels[..., k] for k in range(pixels.shape[-1])] if grey else [pixels]
    read = []
    for layer in layers:
        written = io.BytesIO()
        Image.fromarray(layer).save(written, "JPEG", quality=int(amount))
        read.append(torch.from_numpy(np.array(Image.open(written), dtype=np.float32) / 255))
    return torch.stack(read) if grey else read[0].permute(2, 0, 1)


SHIFTS: Registry[Shift] = Registry(
    "shift",
    {
        "brightness": Shift(_brightness, (0.08, 0.16, 0.3), "added or taken off"),
        "contrast": Shift(_contrast, (0.2, 0.4, 0.6), "more or less"),
        "gamma": Shift(_gamma, (0.2, 0.4, 0.8), "exponent's logarithm"),
        "blur": Shift(_blur, (0.008, 0.016, 0.028), "sigma over the width"),
        "noise": Shift(_noise, (0.02, 0.05, 0.1), "standard deviation"),
        "rotation": Shift(_rotation, (5, 10, 20), "degrees either way"),
        "scale": Shift(_scale, (0.08, 0.15, 0.25), "larger or smaller"),
        "border": Shift(_border, (0.03, 0.06, 0.1), "mean width over the scene's"),
        "marker": Shift(_marker, (0.08, 0.12, 0.18), "height over the scene's"),
        "compression": Shift(_compression, (40, 20, 8), "JPEG quality"),
    },
)
"""Kinds of shift. Brightness to scale are near what training may vary; the last three are not."""

CLEAN = "clean"
"""The condition without a shift."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """Scenes as they are, or under one shift.

    >>> Condition().name, Condition(shift="blur", strength=2).name
    ('clean', 'blur 2')

    Attributes:
        shift: one of `SHIFTS`, or `clean`.
        strength: of it; 0 where there is none.
    """

    shift: str = CLEAN
    strength: int = 0

    @property
    def name(self) -> str:
        """What results call it."""
        return f"{self.shift} {self.strength}" if self.strength else self.shift

    def scenes(self, scenes: Float[Tensor, "B C H W"], seed: int) -> Float[Tensor, "B C H W"]:
        """The scenes under this condition."""
        if self.shift == CLEAN:
            return scenes
        return SHIFTS[self.shift](scenes, self.strength, seed=seed)

    def of(self, dataset: Dataset, rows: NDArray[np.int64], *, seed: int) -> Dataset:
        """A data set whose scenes at `rows` are under this condition, in its own levels.

        Those of the first rows are the same whatever rows follow.
        """
        if self.shift == CLEAN:
            return dataset
        where = torch.from_numpy(rows)
        scenes = self.scenes(dataset.scenes(where), seed)
        images = dataset.images.clone()
        images[where] = scenes if images.is_floating_point() else (scenes * 255).round().byte()
        return replace(dataset, images=images)


def conditions(
    strengths: Sequence[int] = (MIDDLE,), shifts: Sequence[str] | None = None
) -> list[Condition]:
    """Clean, then each shift at each strength.

    Args:
        strengths: some of `STRENGTHS`.
        shifts: some of `SHIFTS`; all if not given.

    Raises:
        ValueError: a strength or shift that there is not, none, or the same twice.
    """
    chosen = tuple(SHIFTS) if shifts is None else shifts
    for name, given in (("strengths", strengths), ("shifts", chosen)):
        if not given or len(set(given)) < len(given):
            raise ValueError(f"{name} is {given}, expected different ones, at least one")
    for strength in strengths:
        if strength not in STRENGTHS:
            raise ValueError(f"strengths is {strengths}, expected some of 1, 2, 3")
    for shift in chosen:
        check_known("shifts", shift, SHIFTS)
    return [
        Condition(),
        *(Condition(shift=each, strength=k) for each, k in product(chosen, strengths)),
    ]
