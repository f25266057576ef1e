"""What the page is given, for every kind of sensor."""

from __future__ import annotations

import base64
import io
import json

import pytest
import torch
from PIL import Image

from boed.live import LiveSession
from boed.live.simulated import Simulated
from boed.live.view import View, picture
from boed.policies import Random
from boed.sensors import Features, Foveated, KSpaceLines, Lines, PatchSensor, Projections
from boed.session import Session
from tests.doubles import Constant, RowSensor

ALL = {
    "patch": (lambda: PatchSensor(16, 0.25, 4), (1, 16, 16)),
    "noisy, overlapping patches": (lambda: PatchSensor(16, 0.5, 5, noise=0.2), (1, 16, 16)),
    "k-space": (lambda: KSpaceLines((6, 8), noise=0.1), (2, 6, 8)),
    "foveated": (lambda: Foveated((12, 10), 2, 3), (3, 12, 10)),
    "a user's rows": (RowSensor, (1, 6, 6)),
    "lines": (lambda: Lines(8), (1, 8, 8)),
    "projections": (lambda: Projections(8, 4), (1, 8, 8)),
    "a table": (lambda: Features(5), (1, 1, 5)),
    "colour": (lambda: PatchSensor(16, 0.25, 4), (3, 16, 16)),
}


DRAWN = {"k-space": "readings", "projections": "bands", "foveated": "places"}
"""Where the map's boxes are not pixels that a look shows."""


def pixels(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


@pytest.mark.parametrize("name", ALL)
def test_every_sensor_has_pictures_and_a_map(name: str) -> None:
    make, shape = ALL[name]
    sensor, scene = make(), torch.rand(1, *shape)
    session = Session(sensor, Random(), Constant((-0.7, -0.7)), shape=shape)
    live = LiveSession(session, answers=("a", "b"), instrument=Simulated(sensor, scene, truth=1))
    view = View(live)
    assert pixels(view.state()["seen"]).getextrema()[3] == (0, 0)  # all of it transparent
    for look in live.suggest(2)["looks"]:
        live.take(look["id"])
    live.stop()
    state = json.loads(json.dumps(view.state(), allow_nan=False))
    assert pixels(state["seen"]).size == (shape[2], shape[1])
    assert pixels(state["seen"]).getextrema()[3][1] == 255
    designs = [each["design"] for each in state["map"]]
    assert all(each["design"] in designs for each in state["looks"])
    boxes = [tuple(each["box"]) for each in state["map"]]
    assert len(set(boxes)) == len(boxes)  # each can be pointed at
    assert state["drawn"] == DRAWN.get(name, "pixels")
    for top, left, height, width in (each["box"] for each in state["map"]):
        assert 0 <= top < top + height <= shape[1]
        assert 0 <= left < left + width <= shape[2]
    assert state["demo"]["truth"] == "b"
    assert pixels(state["demo"]["scene"]).size == (shape[2], shape[1])


def test_findings_are_named_by_those_that_hold() -> None:
    make, shape = ALL["patch"]
    sensor, scene = make(), torch.rand(1, *shape)

    class Findings:
        def log_probs(self, observation: object) -> torch.Tensor:
            return torch.tensor([[[0.9, 0.1], [0.2, 0.8]]]).log()

    session = Session(sensor, Random(), Findings(), shape=shape)
    for truth, told in (([0, 1], "mass"), ([0, 0], "none")):
        instrument = Simulated(sensor, scene, truth=truth)
        live = LiveSession(session, answers=("nodule", "mass"), several=True, instrument=instrument)
        assert live.belief()["belief"] == pytest.approx({"nodule": 0.1, "mass": 0.8})
        if session.stopped is None:
            live.stop()
        assert View(live).state()["demo"]["truth"] == told


def test_a_picture_is_what_was_seen() -> None:
    shown = pixels(picture(torch.tensor([[[0.0, 1.0]]]), torch.tensor([[True, False]])))
    assert [shown.getpixel((x, 0)) for x in range(2)] == [(0, 0, 0, 255), (255, 255, 255, 0)]
