"""The page in a browser: a demonstration from start to end, and readings that are dropped."""

from __future__ import annotations

import io
import json
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boed.live import LiveSession
from boed.live.simulated import Simulated
from boed.policies import BOED, FirstLook
from tests.doubles import ClueCompleter, Constant
from tests.live.browser import CHROMIUM
from tests.live.sessions import CLUES, DATA, SENSOR, small

PROBE = Path(__file__).with_name("probe.html")
TOUCH = ("--blink-settings=primaryPointerType=2,availablePointerTypes=2",)
"""Options of a browser that has fingers in place of a mouse."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium to run the page"),
    pytest.mark.skipif(
        find_spec("fastapi") is None or find_spec("uvicorn") is None, reason="needs the extra live"
    ),
]


@contextmanager
def served(live: LiveSession, width: int) -> Iterator[tuple[str, queue.Queue[list[Any]]]]:
    """The link of a visitor's page, and what the visitor says in the end."""
    import uvicorn
    from fastapi import FastAPI, Request
    from fastapi.responses import HTMLResponse, Response

    from boed.live.server import app_for

    guarded, said = app_for(live), queue.Queue[list[Any]]()
    app = guarded.app
    assert isinstance(app, FastAPI)

    async def probe() -> Any:
        return HTMLResponse(PROBE.read_text().replace("WIDTH", str(width)))

    async def reading() -> Any:
        design = live.session.pending[0].design
        buffer = io.BytesIO()
        np.save(buffer, Simulated(SENSOR, DATA.scenes(), truth=0).read(design).numpy())
        return Response(buffer.getvalue())

    async def saying(request: Request) -> Any:
        said.put(json.loads(await request.body()))
        return Response()

    saying.__annotations__["request"] = Request  # a name of this function's, not the module's
    app.add_api_route("/probe", probe, response_model=None)
    app.add_api_route("/reading", reading, response_model=None)
    app.add_api_route("/said", saying, methods=["POST"], response_model=None)
    config = uvicorn.Config(guarded, log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}/probe", said
        finally:
            server.should_exit = True
            thread.join()


def visited(live: LiveSession, width: int, folder: Path) -> list[Any]:
    """What a visitor says of the page."""
    with served(live, width) as (link, said):
        command = [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={folder / 'profile'}", "--window-size=1200,1000",
            "--remote-debugging-port=0", *(TOUCH if width < 500 else ()), link,
        ]  # fmt: skip
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return said.get(timeout=150)
        finally:
            browser.terminate()
            browser.wait()
            time.sleep(0.2)  # its children let go of the profile


@pytest.mark.parametrize("width", [1000, 360])
def test_a_demonstration_from_start_to_end(width: int, tmp_path: Path) -> None:
    live = small(tmp_path / "log", budget=4 / 16)
    said = visited(live, width, tmp_path)
    assert said == [
        "Look 0 is suggested. after 0 readings",
        "completion 2 of 12",
        False,
        "row 12, column 12",
        "Look 2 is suggested. after 1 reading",
        "Look 4 is suggested. after 1 reading",
        "Finished: the budget of 0.25 has no room for the next look. after 3 readings",
        True, True, True,
        f"what it was: {live.answers[int(DATA.labels[0])]}",
        True, True, 3 if width > 500 else True, True, True, True, "finished",
    ]  # fmt: skip
    kinds = [event.kind for event in live.session.history]
    assert kinds == [
        "suggestion", "choice", "reading", "suggestion", "failed", "suggestion", "veto",
        "suggestion", "reading", "suggestion", "stop",
    ]  # fmt: skip


def test_readings_are_dropped_onto_the_page(tmp_path: Path) -> None:
    certain = Constant((-20.0, -20.0, 0.0))  # whose looks tell nothing
    policy = BOED(ClueCompleter(CLUES), certain, n=6, first_look=FirstLook(n=8))
    live = small(tmp_path / "log", policy=policy)
    live.instrument = None
    live.tell_trouble("folder looks (OSError: disk full)")
    said = visited(live, 360, tmp_path)
    assert said == [
        "nothing left to gain",
        "folder looks (OSError: disk full); it is tried again",
        "Look 1 is suggested. after 1 reading",
        "Look 2 is suggested. after 2 readings",
        "reading is none of .npy, .png, .dcm by its content",
        True, True, True, True, True, True, "finished",
    ]  # fmt: skip
