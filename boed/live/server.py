"""A session over HTTP, with a page. Needs the extra `live`."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from boed.live.guard import Guard
from boed.live.live_session import LiveSession, parsed, replied
from boed.live.view import View
from boed.report.html import script, template

EVENTS_EVERY = 0.03
"""Seconds after which a page hears of a change, at most."""

ALIVE_EVERY = 15.0
"""Seconds after which a silent connection says that it is there."""


def app_for(live: LiveSession, *, host: str = "127.0.0.1", token: str | None = None) -> Guard:
    """The application: the page at `/`, messages at `/api/ACTION`, changes at `/api/events`.

    Each message is answered in a thread of its own, so that a slow decision holds up no reading.

    Args:
        live: the session.
        host: name or address that it is bound to.
        token: that is asked for, if any.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    view = View(live)
    page = page_of(live)

    async def said(answer: Callable[[], dict[str, Any]]) -> JSONResponse:
        status, content = await run_in_threadpool(replied, answer)
        return JSONResponse(content, status)

    @app.get("/")
    async def index() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/api/state")
    async def state() -> Response:
        return await said(live.state)

    @app.get("/api/view")
    async def viewed() -> Response:
        return await said(view.state)

    @app.get("/api/completions")
    async def completions() -> Response:
        return await said(lambda: {"completions": view.completions()})

    @app.get("/api/events")
    async def events(request: Request) -> StreamingResponse:
        return StreamingResponse(changes(live, request), media_type="text/event-stream")

    @app.post("/api/looks/{look:int}/reading")
    async def upload(look: int, request: Request) -> Response:
        content = await request.body()
        return await said(lambda: live.ingest_bytes(look, content))

    @app.post("/api/{action}")
    async def act(action: str, request: Request) -> Response:
        body = await request.body()

        def answer() -> dict[str, Any]:
            message = parsed(body or b"{}")
            if isinstance(message, dict):
                message = {**message, "action": action}
            return live.answer(message)

        return await said(answer)

    return Guard(app, host=host, token=token, limit=live.limit)


async def changes(live: LiveSession, request: Request) -> AsyncIterator[str]:
    """Server-sent events: one at first, and one whenever something has changed."""
    known, silent = -1, 0.0
    while not await request.is_disconnected():
        if live.changes != known:
            known, silent = live.changes, 0.0
            yield f"data: {json.dumps({'changes': known})}\n\n"
        elif silent >= ALIVE_EVERY:
            silent = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(EVENTS_EVERY)
        silent += EVENTS_EVERY


def page_of(live: LiveSession) -> str:
    """The page, which needs nothing but this server."""
    return template("live/live.html.j2").render(
        script=script("live/live.js"),
        connects=True,
        about=live.about,
        demo=live.instrument is not None,
    )


def is_loopback(host: str) -> bool:
    """Whether a host can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(
    live: LiveSession, *, host: str = "127.0.0.1", port: int = 0, on_ready: Callable[[str], None]
) -> None:
    """Serve a session until it is interrupted.

    Args:
        live: the session.
        host: name or address to bind to; one that others can reach asks for a token.
        port: to listen on; any free one if 0.
        on_ready: called with the link of the page.

    Raises:
        ValueError: it cannot be bound to.
    """
    token = None if is_loopback(host) else secrets.token_urlsafe(24)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.create_server((host, port), family=family)
    except OSError as error:
        raise ValueError(
            f"host is {host!r} and port {port}, which cannot be bound to: {error}"
        ) from error
    config = uvicorn.Config(
        app_for(live, host=host, token=token),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    shown = f"[{host}]" if family == socket.AF_INET6 else host
    link = f"http://{shown}:{bound.getsockname()[1]}/"
    on_ready(link if token is None else f"{link}?token={token}")
    with bound:
        uvicorn.Server(config).run(sockets=[bound])
