"""What sessions with an instrument saw, from their logs: scenes of which no more is known.

A folder of logs, each a folder with `log.jsonl` as `boed.Session` writes it. Logs in folders
`train`, `val` and `test` are of these splits; others are dealt 80/10/10 by the name of their
folder. Sessions that have read nothing yet are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from boed.data.labels import SPLITS, deal
from boed.foundation.events import EVENTS, Event, effective, read_events

ROUNDING = 1e-3
"""How far a pixel may lie outside [0, 1]."""

Seen = tuple[Float[Tensor, "C H W"], UInt8[Tensor, "1 H W"]]
"""Values, zero where nothing was seen, and where something was."""


def holds_sessions(folder: Path) -> bool:
    """Whether a folder is one of logs of sessions."""
    return bool(logs_in(folder))


def read_sessions(
    folder: Path, split: str
) -> tuple[Float[Tensor, "N C H W"], UInt8[Tensor, "N 1 H W"]]:
    """What was seen in the sessions of a split, and where.

    Raises:
        ValueError: a log is damaged, its readings hold no pixels, its scene is of another shape
            than the others', or no session of the split has read anything.
    """
    logs = logs_in(folder)
    seen: dict[str, Seen] = {}
    for log in logs:
        events, _ = read_events(log)
        if not events:  # it was killed before its beginning was on the disk
            continue
        values, mask = seen_after(events, f"log {log}")[-1]
        first = next(iter(seen.values()), (values,))[0]
        if values.shape != first.shape:
            raise ValueError(
                f"log {log} is of scenes {tuple(values.shape)}, the first one of "
                f"{tuple(first.shape)}; expected one shape (channels, height, width)"
            )
        if mask.any():
            seen[log.relative_to(folder).as_posix()] = (values, mask)
    splits = deal(seen)
    if all("/" in name for name in seen):
        splits = {name: name.split("/")[0] for name in seen}
    chosen = [each for name, each in seen.items() if splits[name] == split]
    if not chosen:
        raise ValueError(
            f"{folder} ({split}): no session of {len(logs)} is in this split and has read "
            "anything; expected some for train and val"
        )
    return torch.stack([image for image, _ in chosen]), torch.stack([mask for _, mask in chosen])


def seen_after(events: Sequence[Event], where: str) -> list[Seen]:
    """What had been seen after 0, 1, ... readings of a log.

    Args:
        events: all of the log, the beginning included.
        where: what the log is called.

    Raises:
        ValueError: there is no beginning, or a reading holds no pixels of the scene.
    """
    if not events or events[0].kind != "begin" or "shape" not in events[0].facts:
        raise ValueError(f"{where} has no beginning with a scene, expected the log of a session")
    channels, height, width = events[0].facts["shape"]
    seen = [(torch.zeros(channels, height, width), torch.zeros(1, height, width).byte())]
    for event in effective(events):
        if event.kind != "reading":
            continue
        if "shown" not in event.arrays:
            raise ValueError(
                f"{where} is of a sensor that reads no pixels; expected one that sees pixels"
            )
        shown = torch.from_numpy(shown_by(event, (height, width)))
        reading = torch.from_numpy(event.arrays["reading"]).reshape(channels, -1)
        if reading.shape[1] != int(shown.sum()):
            raise ValueError(
                f"{where} has a reading of {reading.shape[1]} pixels, expected {int(shown.sum())}"
            )
        values, mask = (part.clone() for part in seen[-1])
        new = torch.zeros_like(values)
        new[:, shown > 0] = _rounded(reading)
        first = (shown > 0) & (mask[0] == 0)  # a pixel stays as it was read first
        seen.append((torch.where(first, new, values), torch.maximum(mask, shown[None])))
    return seen


def shown_by(event: Event, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Which pixels a reading showed, `[H, W]` of 0 and 1, where its sensor reads pixels."""
    return np.unpackbits(event.arrays["shown"], count=shape[0] * shape[1]).reshape(shape)


def _rounded(reading: Tensor) -> Tensor:
    """Pixels in [0, 1] but for rounding as such; others, as of a sensor with noise, stay."""
    if reading.min() < -ROUNDING or reading.max() > 1 + ROUNDING:
        return reading
    return reading.clamp(0, 1)


def logs_in(folder: Path) -> list[Path]:
    """The folders of logs in a folder, or in its folders of splits."""
    places = [folder, *(folder / split for split in SPLITS)]
    return sorted(file.parent for place in places for file in place.glob(f"*/{EVENTS}"))
