"""What a completer makes of a few scenes, as a picture to watch its training by."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from boed.completion.learned import LearnedCompleter
from boed.data.observation import Observation
from boed.foundation.files import atomic

SCENES = 8
"""Rows of the picture."""

SAMPLES = 6
"""Completions of each scene."""

TILE = 64
"""Pixels that a scene is at least enlarged to."""

UNSEEN = (0.25, 0.3, 0.5)
"""Colour of what was not seen."""


def samples_path(out: Path) -> Path:
    """Where the picture of a checkpoint's samples lies: `NAME.samples.png`."""
    return out.with_suffix(".samples.png")


def draw_samples(completer: LearnedCompleter, observation: Observation, path: Path) -> None:
    """Write a row for each of some observations: what was seen, then completions of it.

    Args:
        completer: whose completions are drawn, always from the same seeds.
        observation: of which `SCENES`, evenly spread, are shown.
        path: of the PNG.
    """
    from PIL import Image

    rows = torch.linspace(0, len(observation) - 1, min(SCENES, len(observation))).long()
    seen = observation[rows.to(observation.device)]
    drawn = completer.sample(seen, 1 if completer.deterministic else SAMPLES)
    colour = torch.tensor(UNSEEN, device=seen.device)[:, None, None]
    shown = torch.where(seen.mask > 0, _coloured(seen.values), colour)
    tiles = torch.cat([shown[None], _coloured(drawn)]).transpose(0, 1)  # [rows, columns, 3, H, W]
    tiles = tiles.repeat_interleave(max(TILE // seen.size, 1), -1)
    tiles = tiles.repeat_interleave(max(TILE // seen.size, 1), -2)
    sheet = torch.cat(list(torch.cat(list(tiles.unbind(1)), -1)), -2).movedim(0, -1)
    pixels = (sheet.nan_to_num(0).clamp(0, 1) * 255).round().to(torch.uint8).cpu()
    with atomic(path) as temporary:
        Image.fromarray(pixels.numpy()).save(temporary)


def _coloured(images: Float[Tensor, "*B C H W"]) -> Float[Tensor, "*B 3 H W"]:
    """Images of three channels; of others the first one, grey."""
    if images.shape[-3] == 3:
        return images
    return images[..., :1, :, :].expand(*images.shape[:-3], 3, -1, -1)
