"""A server for a browser that runs the pages."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from boed.live import LiveSession, Sessions

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def served(live: LiveSession | Sessions) -> Iterator[str]:
    """The link of the page of a session, or of the list of several."""
    import uvicorn

    from boed.live.server import app_for

    server: uvicorn.Server
    app = app_for(live, closing=lambda: server.should_exit)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as bound:
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()
