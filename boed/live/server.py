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
from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from boed.live.guard import Guard
from boed.live.live_session import LiveSession
from boed.live.messages import parsed, replied
from boed.live.sessions import Sessions
from boed.live.view import View
from boed.report.html import script, template

EVENTS_EVERY = 0.03
"""Seconds after which a page hears of a change, at most."""

ALIVE_EVERY = 15.0
"""Seconds after which a silent connection says that it is there."""

SLOW = ("next", "suggest")
"""Actions that wait for a decision."""

DECIDING = 8
"""Requests of one session that may wait for its models at once; further ones queue."""


def app_for(
    live: LiveSession | Sessions,
    *,
    host: str = "127.0.0.1",
    token: str | None = None,
    closing: Callable[[], bool] = lambda: False,
) -> Guard:
    """The application behind its guard.

    One session has its page at `/`, messages at `/api/ACTION` and changes at `/api/events`. Of
    several there is a list at `/` and at `/api/sessions`, where a new one is posted, too; each of
    them has the same as one alone below `/sessions/NAME/`.

    Args:
        live: the session, or several.
        host: name or address that it is bound to.
        token: that is asked for, if any.
        closing: whether the server ends, and with it the changes that pages wait for.
    """
    make: Callable[..., FastAPI] = _app_of_several if isinstance(live, Sessions) else _app_of
    app = make(live, closing)
    return Guard(app, host=host, token=token, limit=live.limit)


async def _said(
    answer: Callable[[], dict[str, Any]], limiter: CapacityLimiter | None = None
) -> JSONResponse:
    """An answer that a thread makes."""
    status, content = await to_thread.run_sync(replied, answer, limiter=limiter)
    return JSONResponse(content, status)


async def _elsewhere(request: Request, error: Exception) -> JSONResponse:
    """What is said of an address that is none, in the words that everything wrong has."""
    assert isinstance(error, HTTPException)
    asked = f"{request.method} {request.url.path[:80]}"
    told = f"{asked} is no request to this server ({error.detail}), expected one of docs/live.md"
    return JSONResponse({"error": told}, error.status_code, error.headers)


def _bare_app() -> FastAPI:
    handlers: dict[Any, Any] = {HTTPException: _elsewhere}
    return FastAPI(docs_url=None, redoc_url=None, openapi_url=None, exception_handlers=handlers)


def _look(written: str) -> int:
    """The id of a look in an address."""
    if not written.isdecimal() or len(written) > 9:
        raise ValueError(f"look is {written[:40]!r}, expected the id of a look: a whole number")
    return int(written)


def _app_of_several(sessions: Sessions, closing: Callable[[], bool]) -> FastAPI:
    app = _bare_app()
    about = next(iter(sessions.lives.values())).about
    page = template("live/page/sessions.html.j2").render(
        script=_scripts("talking", "list"), connects=True, about=about
    )

    def begin(body: bytes) -> dict[str, Any]:
        message = parsed(body or b"{}")
        if not isinstance(message, dict) or list(message) != ["session"]:
            raise ValueError('message is another one, expected {"session": NAME}')
        sessions.begin(message["session"])
        return {"session": message["session"]}

    def mount() -> None:
        """Those that are new."""
        mounted = {getattr(route, "path", "") for route in app.routes}
        for name, live in sessions.lives.items():
            if f"/sessions/{name}" not in mounted:
                app.mount(f"/sessions/{name}", _app_of(live, closing, name))

    @app.get("/")
    async def index() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/api/sessions")
    async def overview() -> Response:
        return await _said(sessions.overview)

    @app.post("/api/sessions")
    async def new(request: Request) -> Response:
        body = await request.body()
        answer = await _said(lambda: begin(body))
        mount()
        return answer

    mount()
    return app


def _app_of(live: LiveSession, closing: Callable[[], bool], name: str | None = None) -> FastAPI:
    """Of one session. Each message is answered in a thread.

    Those that wait for models have threads of their own, so that however many wait for a decision,
    readings are taken.
    """
    app = _bare_app()
    view = View(live)
    page = page_of(live, name)
    models = CapacityLimiter(DECIDING)

    @app.get("/")
    async def index() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/api/state")
    async def state() -> Response:
        return await _said(live.state)

    @app.get("/api/view")
    async def viewed() -> Response:
        return await _said(view.state)

    @app.get("/api/completions")
    async def completions() -> Response:
        return await _said(lambda: {"completions": view.completions()}, models)

    @app.get("/api/events")
    async def events(request: Request) -> StreamingResponse:
        told = changes(live, request, closing)
        return StreamingResponse(told, media_type="text/event-stream")

    @app.post("/api/looks/{look}/reading")
    async def upload(look: str, request: Request) -> Response:
        content = await request.body()
        return await _said(lambda: live.ingest_bytes(_look(look), content))

    @app.post("/api/{action}")
    async def act(action: str, request: Request) -> Response:
        body = await request.body()

        def answer() -> dict[str, Any]:
            message = parsed(body or b"{}")
            if isinstance(message, dict):
                message = {**message, "action": action}
            return live.answer(message)

        return await _said(answer, models if action in SLOW else None)

    return app


async def changes(
    live: LiveSession, request: Request, closing: Callable[[], bool] = lambda: False
) -> AsyncIterator[str]:
    """Server-sent events: one at first, and one whenever something has changed."""
    known, silent = -1, 0.0
    while not closing() and not await request.is_disconnected():
        if live.changes != known:
            known, silent = live.changes, 0.0
            trouble = {} if live.trouble is None else {"trouble": live.trouble}
            yield f"data: {json.dumps({'changes': known, **trouble})}\n\n"
        elif silent >= ALIVE_EVERY:
            silent = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(EVENTS_EVERY)
        silent += EVENTS_EVERY


def page_of(live: LiveSession, name: str | None = None) -> str:
    """The page, which needs nothing but this server.

    That of one of several has its name and a link to the list.
    """
    return template("live/page/live.html.j2").render(
        script=_scripts("talking", "state", "words", "panels", "map", "actions"),
        connects=True,
        about=live.about,
        demo=live.instrument is not None,
        name=name,
    )


def _scripts(*names: str) -> tuple[str, str]:
    return script(*(f"live/page/{name}.js" for name in names))


def is_loopback(host: str) -> bool:
    """Whether a host can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(
    live: LiveSession | Sessions,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    on_ready: Callable[[str], None],
) -> None:
    """Serve a session, or several, until it is interrupted.

    Args:
        live: the session, or several.
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
    server: uvicorn.Server
    config = uvicorn.Config(
        app_for(live, host=host, token=token, closing=lambda: server.should_exit),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    shown = f"[{host}]" if family == socket.AF_INET6 else host
    link = f"http://{shown}:{bound.getsockname()[1]}/"
    on_ready(link if token is None else f"{link}?token={token}")
    server = uvicorn.Server(config)
    with bound:
        server.run(sockets=[bound])
