"""An instrument that is not there: it reads a scene that is known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from boed.foundation.files import write_json
from boed.foundation.fingerprint import fingerprint
from boed.foundation.identity import DIGITS
from boed.foundation.randomness import derive, per_scene
from boed.sensors.reading import read
from boed.sensors.sensor import Sensor

SCENE = "scene.json"
"""The file in a demonstration's log that says which scene it is about."""


class Simulated:
    """What an instrument would return that sees a scene, with the noise of `acquire`.

    Args:
        sensor: its model.
        scene: the whole scene, which no policy sees.
        truth: number of the right answer, or 0 or 1 for each finding.
        seed: of the noise.
    """

    def __init__(
        self,
        sensor: Sensor,
        scene: Float[Tensor, "1 C H W"],
        *,
        truth: int | list[int],
        seed: int = 0,
    ) -> None:
        self.sensor, self.scene, self.truth = sensor, scene, truth
        self._noise = derive(per_scene(seed, 1)[0], "noise")

    def read(self, design: Sequence[float]) -> Tensor:
        """The reading of one look, of `boed.sensors.reading.reading_shape`."""
        return read(self.sensor, self.scene, torch.tensor(design), seed=self._noise)

    def record(self, row: int | None) -> dict[str, Any]:
        """Which scene it is: its row in the test split, and a fingerprint of scene and truth."""
        return {"row": row, "identity": fingerprint(self.scene, self.truth)[:DIGITS]}


def claim_scene(log: Path, ours: Mapping[str, Any] | None, *, begun: bool) -> None:
    """Write which scene a session is about, or make sure that its log is of this one.

    Args:
        log: folder of the log.
        ours: record of the scene that is simulated; None with a real instrument.
        begun: whether anything has happened in the session.

    Raises:
        ValueError: the log is of a session about another scene, or its record is damaged.
        OSError: the folder cannot be written.
    """
    file = log / SCENE
    if not file.exists() and not begun:
        if ours is not None:
            write_json(file, ours)
        return
    try:
        theirs = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    except ValueError as error:
        raise ValueError(f"log {log} is damaged: {SCENE} is no JSON ({error})") from error
    if theirs != ours:
        raise ValueError(
            f"log {log} is of a session about {_words(theirs)}, this one's is about "
            f"{_words(ours)}; expected the same, or another folder"
        )


def _words(scene: Any) -> str:
    if not isinstance(scene, Mapping):
        return "what a real instrument reads"
    return f"scene {scene.get('row')} ({scene.get('identity')}) of a demonstration"
