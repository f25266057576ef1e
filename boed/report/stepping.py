"""All scenes of a run as data for the page, in which they are stepped through one by one."""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from boed.report.beliefs import findings_shown

if TYPE_CHECKING:
    import xarray as xr

PIXELS = 2**23
"""Of all candidates' masks together, at most: larger ones are shrunk."""


def stepping(results: xr.Dataset) -> str:
    """What the script reads, as JSON in which nothing ends the element that it stands in.

    The first seed of every policy: which candidate was looked at, and the likeliest answer with
    its probability, after each look. Of several findings it is about the one that is named.
    Nothing for results that were stored without pictures of their scenes.
    """
    if "thumbnail" not in results:
        return ""
    one = results.isel(seed=0)
    question = [name for name in ("finding",) if name in results.sizes]
    beliefs = one["log_belief"].transpose("policy", "scene", "look", *question, "answer").values
    label = one["label"].transpose("scene", *question).values
    asked: list[int] = []
    if question:
        asked = [findings_shown(beliefs.shape[3], truth)[0] for truth in label]
        rows = np.arange(len(asked))
        beliefs, label = beliefs[:, rows, :, asked].swapaxes(0, 1), label[rows, asked]
    content = {
        "scenes": _sprite(one["thumbnail"].transpose("scene", "channel", "v", "u").values, "JPEG"),
        "masks": _sprite(_small(one["candidate_mask"].values)[:, None], "PNG"),
        "policies": [str(each) for each in one["policy"].values],
        "answers": [str(each) for each in one["answer"].values],
        "findings": [str(each) for each in one["finding"].values] if question else [],
        "asked": asked,
        "row": one["scene"].values.tolist(),
        "label": label.tolist(),
        "design": _candidates(one).tolist(),
        "looks": one["looks"].transpose("policy", "scene").values.tolist(),
        "best": beliefs.argmax(-1).tolist(),
        "percent": np.round(100 * np.exp(beliefs.max(-1))).astype(int).tolist(),
    }
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")


def _candidates(one: xr.Dataset) -> NDArray[np.int64]:
    """Which candidate each look is, `[policy, scene, step]`; -1 where it is none, or not taken."""
    number = {tuple(row): index for index, row in enumerate(one["candidates"].values.tolist())}
    design = one["design"].transpose("policy", "scene", "step", "axis").values
    flat = [number.get(tuple(each), -1) for each in design.reshape(-1, design.shape[-1]).tolist()]
    return np.array(flat).reshape(design.shape[:-1])


def _small(masks: NDArray) -> NDArray[np.uint8]:
    """Masks `[D, H, W]` of values up to 1 as uint8, every so many pixels where there are many."""
    every = int(np.ceil(max(masks.size / PIXELS, 1.0) ** 0.5))
    kept = masks[:, :: min(every, masks.shape[1]), :: min(every, masks.shape[2])]
    return np.round(255 * np.clip(kept, 0, 1)).astype(np.uint8)


def _sprite(images: NDArray[np.uint8], kind: str) -> dict[str, Any]:
    """Images `[N, C, h, w]` side by side in one picture, with the size of a tile."""
    from PIL import Image

    number, channels, height, width = images.shape
    columns = int(np.ceil((number * height / width) ** 0.5))
    columns = min(max(columns, 1), number)
    rows = -(-number // columns)
    sheet = np.zeros((rows * columns, channels, height, width), np.uint8)
    sheet[:number] = images
    tiles = sheet.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    pixels = tiles.reshape(rows * height, columns * width, channels)
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    picture.save(buffer, kind, **({"quality": 88} if kind == "JPEG" else {"optimize": True}))
    source = base64.b64encode(buffer.getvalue()).decode()
    return {
        "source": f"data:image/{kind.lower()};base64,{source}",
        "width": width, "height": height, "columns": columns,
    }  # fmt: skip
