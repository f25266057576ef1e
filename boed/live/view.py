"""What the page shows: a live session's state, with pictures."""

from __future__ import annotations

import base64
import io
import math
import threading
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from boed.foundation.checks import attribute
from boed.live.live_session import LiveSession
from boed.sensors.reading import pixels_of
from boed.sensors.sensor import box_of, candidate_masks, candidates

DRAWN = 12
"""Completions to leaf through."""


class View:
    """Pictures of a live session, made again when something has changed.

    Args:
        live: the session.
    """

    def __init__(self, live: LiveSession) -> None:
        self.live = live
        self._boxes: tuple[Tensor, list[list[float]], str] | None = None
        self._completions: tuple[object, list[str]] | None = None
        self._drawing = threading.Lock()

    def state(self) -> dict[str, Any]:
        """The state of the session with what was seen, the EIG map and, at the end, the truth."""
        with self.live.session.lock:
            state = {**self.live.state(), "seen": self._seen(), "map": self._map()}
            assert self._boxes is not None
            state["drawn"] = self._boxes[2]
        completer = attribute(self.live.session.policy, "completer", None)
        state |= {"completes": completer is not None, "demo": None, "limit": self.live.limit}
        if self.live.instrument is not None:
            ended = state["stopped"] or state["reason"]
            state["demo"] = self._truth() if ended else {}
        return state

    def completions(self) -> list[str]:
        """What the whole scene may be, as pictures.

        Raises:
            ValueError: the policy has no completer.
        """
        with self._drawing:
            now = self.live.session.observation
            if self._completions is None or self._completions[0] is not now:
                scenes = self.live.session.completions(DRAWN)
                self._completions = (now, [picture(each) for each in scenes])
            return self._completions[1]

    def _seen(self) -> str:
        """What was seen; the rest is transparent."""
        observation = self.live.session.observation
        values, mask = observation.values[0], observation.mask[0, 0] > 0
        if observation.readings is not None:  # an image of all readings so far
            mask = torch.full_like(mask, bool((observation.seen > 0).any()))
        return picture(values, mask)

    def _map(self) -> list[dict[str, Any]]:
        """Each candidate with the score that it had, and the box at which it is drawn."""
        session = self.live.session
        designs = candidates(session.sensor, session.observation)
        if self._boxes is None or not torch.equal(self._boxes[0], designs):
            masks = candidate_masks(session.sensor, session.observation, designs) > 0
            boxes = [[float(side) for side in box_of(mask)] for mask in masks]
            pixels = pixels_of(session.sensor, session.observation, designs[0])
            drawn = "readings" if pixels is None else "pixels"
            if len({tuple(box) for box in boxes}) < len(boxes):
                boxes, drawn = _apart(designs, masks.shape[-2], masks.shape[-1])
            self._boxes = (designs, boxes, drawn)
        scored: dict[tuple[float, ...], float] = {}
        if (latest := session.map()) is not None:
            rows = (tuple(row) for row in latest[0].tolist())
            scored = dict(zip(rows, latest[1].tolist(), strict=True))
        return [
            {"design": design, "box": box, "score": _finite(scored.get(tuple(design)))}
            for design, box in zip(designs.tolist(), self._boxes[1], strict=True)
        ]

    def _truth(self) -> dict[str, Any]:
        """What the simulated instrument looked at."""
        instrument = self.live.instrument
        assert instrument is not None
        names, truth = self.live.answers, instrument.truth
        if isinstance(truth, list):
            held = [name for name, holds in zip(names, truth, strict=True) if holds]
            return {"scene": picture(instrument.scene[0]), "truth": ", ".join(held) or "none"}
        return {"scene": picture(instrument.scene[0]), "truth": names[truth]}


def _apart(designs: Float[Tensor, "D K"], height: int, width: int) -> tuple[list[list[float]], str]:
    """Boxes for looks that see the same pixels: around their places, or bands in their order."""
    sides = torch.tensor([height, width], device=designs.device)
    if designs.shape[1] == 2 and bool(((designs >= 0) & (designs < sides)).all()):
        gaps = [torch.diff(axis.unique()) for axis in designs.T]
        size = int(min((float(gap.min()) for gap in gaps if len(gap)), default=1.0)) or 1
        corners = (designs - size // 2).clamp(torch.zeros_like(sides), sides - size)
        return [[top, left, float(size), float(size)] for top, left in corners.tolist()], "places"
    edges = [number * width / len(designs) for number in range(len(designs))]
    return [[0.0, edge, float(height), width / len(designs)] for edge in edges], "bands"


def picture(image: Float[Tensor, "C H W"], shown: Bool[Tensor, "H W"] | None = None) -> str:
    """An image as a PNG in a data URI, transparent where it is not shown.

    Colour where it has three channels; of any other number the first one, in grey.
    """
    from PIL import Image

    channels = image.cpu() if len(image) == 3 else image[:1].cpu().expand(3, -1, -1)
    alpha = torch.ones_like(channels[:1]) if shown is None else shown.cpu()[None].float()
    pixels: NDArray[np.uint8] = (
        (torch.cat([channels, alpha]).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    )
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _finite(score: float | None) -> float | None:
    return score if score is not None and math.isfinite(score) else None
