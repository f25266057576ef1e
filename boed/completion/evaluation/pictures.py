"""Pictures of completers side by side: growing and free-form masks, images of other kinds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from boed.completion.completer import Completer
from boed.completion.registry import load_completer
from boed.completion.vae.aipo import AIPO
from boed.completion.vae.vdvae import VDVAE
from boed.data.dataset import Dataset
from boed.data.load import load
from boed.data.masks import squares
from boed.data.observation import Observation
from boed.foundation.randomness import derive
from boed.foundation.shipped import shipped

if TYPE_CHECKING:
    import xarray as xr


def examples(completers: Mapping[str, Completer], test: Dataset, *, seed: int) -> xr.Dataset:
    """A scene after 0 to 5 squares, free-form masks, images of other kinds (Fig. 7).

    Args:
        completers: by name; the VAEs among them reconstruct the images of other kinds.
        test: scenes, of which the first are completed.
        seed: of masks and completions.
    """
    import xarray as xr

    names = list(completers)
    scene = test.scenes(slice(0, 1))
    masks = growing(test.size, derive("examples", seed))
    sheet = Observation.of(scene.expand(len(masks), -1, -1, -1), masks)
    free_truth = test.scenes(slice(0, 4))
    free = Observation.of(free_truth, free_form(4, test.size, derive("examples", seed, "free")))
    drawn = {
        "sheet_sample": [each.sample(sheet, 3, seed) for each in completers.values()],
        "free_sample": [each.sample(free, 3, seed) for each in completers.values()],
    }
    coordinates: dict[str, Any] = {"completer": names}
    axes = ("channel", "row", "column")
    variables: dict[str, Any] = {
        "sheet_truth": (axes, scene[0].numpy()),
        "sheet_observed": (("look", *axes), sheet.values.numpy()),
        "sheet_mask": (("look", "row", "column"), masks[:, 0].numpy()),
        "sheet_sample": (
            ("completer", "look", "k", *axes),
            torch.stack(drawn["sheet_sample"]).transpose(1, 2).numpy(),
        ),
        "free_truth": (("f", *axes), free_truth.numpy()),
        "free_mask": (("f", "row", "column"), free.mask[:, 0].numpy()),
        "free_sample": (
            ("completer", "f", "k", *axes),
            torch.stack(drawn["free_sample"]).transpose(1, 2).numpy(),
        ),
    }
    vaes = {name: vae for name, each in completers.items() if (vae := _vae(each)) is not None}
    if vaes:
        kinds = foreign(test.size, test.channels)
        images = torch.stack(list(kinds.values()))
        coordinates |= {"model": list(vaes), "foreign": list(kinds)}
        variables["foreign_image"] = (("foreign", *axes), images.numpy())
        variables["foreign_reconstruction"] = (
            ("model", "foreign", *axes),
            torch.stack([vae.reconstruct(images, seed) for vae in vaes.values()]).numpy(),
        )
    return xr.Dataset(variables, coords=coordinates)


def _vae(completer: Completer) -> VDVAE | None:
    """The VAE inside a completer, if it has an encoder that has been trained."""
    vae = getattr(completer, "vae", None)
    return vae if isinstance(vae, VDVAE) and isinstance(completer, AIPO) else None


def growing(size: int, seed: int) -> Tensor:
    """Masks of 0 to 5 squares, each with those before it: `[6, 1, H, W]`."""
    generator = torch.Generator().manual_seed(seed)
    masks = [torch.zeros(1, 1, size, size)]
    for _ in range(5):
        one = squares(1, size, counts=torch.ones(1, dtype=torch.long), generator=generator)
        masks.append(torch.maximum(masks[-1], one))
    return torch.cat(masks)


def free_form(batch: int, size: int, seed: int) -> Tensor:
    """Masks of thick brush strokes that are seen, unlike any in training: `[B, 1, H, W]`."""
    generator = torch.Generator().manual_seed(seed)
    pixel = torch.arange(size) + 0.5
    masks = torch.zeros(batch, 1, size, size)
    for row in range(batch):
        at = torch.rand(2, generator=generator) * size
        angle = float(torch.rand(1, generator=generator)) * 2 * math.pi
        for _ in range(size):
            angle += float(torch.randn(1, generator=generator)) * 0.35
            at = (at + 1.2 * torch.tensor([math.sin(angle), math.cos(angle)])).clamp(0, size)
            near = (pixel[:, None] - at[0]) ** 2 + (pixel[None] - at[1]) ** 2
            masks[row, 0] = torch.maximum(masks[row, 0], (near < (size / 14) ** 2).float())
    return masks


def hand_made(size: int) -> dict[str, Tensor]:
    """Masks that somebody might draw, by what they show: each `[1, H, W]`."""
    at = (torch.arange(size) + 0.5) / size
    row, column = at[:, None].expand(size, size), at[None].expand(size, size)
    far = torch.maximum((row - 0.5).abs(), (column - 0.5).abs())
    shown = {
        "left half": column < 0.5,
        "middle": far < 0.22,
        "border": far > 0.3,
        "every fourth row": (torch.arange(size)[:, None] % 4 == 0).expand(size, size),
        "two bands": ((row - 0.3).abs() < 0.08) | ((row - 0.75).abs() < 0.08),
    }
    return {name: each.float()[None] for name, each in shown.items()}


def foreign(size: int, channels: int) -> dict[str, Tensor]:
    """Images of other kinds: a digit, an x-ray, a photograph, text, stripes and uniform noise.

    The x-ray is a sample of a shipped flow.
    """
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from sklearn.datasets import load_sample_image

    from boed.data.resize import centre_square, resize

    def grey(image: Tensor) -> Tensor:
        resized = torch.nn.functional.interpolate(image, (size, size), mode="bilinear")[0]
        return resized.expand(channels, -1, -1)

    def fitted(picture: Any) -> Tensor:
        square = resize(centre_square(np.ascontiguousarray(picture)[None], False), size)[0]
        image = torch.from_numpy(square.transpose(2, 0, 1).copy()).float() / 255
        return image.mean(0, keepdim=True) if channels == 1 else image

    figure = Figure(figsize=(2, 2), dpi=64)
    figure.text(0.5, 0.5, "where\nto look\nnext", ha="center", va="center", fontsize=24)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    flow = load_completer(shipped("flow-distilled-kermany-64"))
    xray = flow.sample(Observation.nothing(1, 1, 64), 1, 0)[0]
    generator = torch.Generator().manual_seed(0)
    wave = 0.5 + 0.5 * torch.sin(torch.arange(size) * 2 * math.pi / 8)
    return {
        "digit": grey(load("digits", 32, "test").scenes(slice(3, 4))),
        "x-ray": grey(xray),
        "photograph": fitted(load_sample_image("flower.jpg")),
        "text": fitted(np.asarray(canvas.buffer_rgba())[..., :3]),
        "stripes": wave.expand(channels, size, size).contiguous(),
        "uniform noise": torch.rand(channels, size, size, generator=generator),
    }
